"""What is printed is read back: a label's code by a decoder that did not write it, its words by a browser."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import segno
import zxingcpp
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page

from provisioning.errors import BadSetting
from provisioning.technician import label
from provisioning.technician.label import Label
from provisioning.technician.report import Picture
from provisioning.technician.report_page import render
from provisioning.technician.site_test import Line
from tests.dashboards.conftest import chromium
from tests.provisioning.technician.test_photos import JPEG
from tests.provisioning.technician.test_report import REPORT, TEST

__all__ = ["chromium"]

Pixels = NDArray[np.uint8]
SHORT = Label("https://lamps.porto.example", "7k3m9qxd", "porto/lamp-07", "Market Square 3")
LONG = Label(
    "https://lamps.air.environment.a-city-with-a-long-name.gov.example:8443/street/lights/pages",
    "zzzzzzzz",
    "porto/" + "m" * 57,
    "Praça da Liberdade, second post on the left behind the bus shelter, beside the old fountain; " * 2,
)
LABELS = [SHORT, LONG, replace(SHORT, site="W" * 200), replace(SHORT, device="a-b-" * 14 + "c", site="")]
DPI = 203  # of most label printers: eight dots a millimetre
MM = 72 / 25.4  # points


@pytest.fixture(scope="module")
def page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(device_scale_factor=DPI / 96)
    yield context.new_page()
    context.close()


def read(pixels: Pixels) -> list[str]:
    return [found.text for found in zxingcpp.read_barcodes(np.ascontiguousarray(pixels))]


_TO_GREY = """async told => {
    const bitmap = await createImageBitmap(await (await fetch("data:image/png;base64," + told)).blob())
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height), on = canvas.getContext("2d")
    on.drawImage(bitmap, 0, 0)
    const each = on.getImageData(0, 0, bitmap.width, bitmap.height).data
    let grey = ""
    for (let at = 0; at < each.length; at += 4) grey += String.fromCharCode(each[at])
    return [bitmap.width, bitmap.height, btoa(grey)]
}"""


def pixels_of(page: Page, png: bytes) -> Pixels:
    """In black and white, as a thermal printer has them."""
    page.goto("about:blank")
    width, height, grey = page.evaluate(_TO_GREY, base64.b64encode(png).decode())
    flat = np.frombuffer(base64.b64decode(grey), np.uint8).reshape(height, width)
    return np.where(flat < 128, 0, 255).astype(np.uint8)


def printed(page: Page, made: Label) -> Pixels:
    page.set_content(label.html([made]))
    return pixels_of(page, page.locator("svg").first.screenshot())


@pytest.mark.parametrize("made", LABELS[:2], ids=["short", "long"])
def test_a_label_from_a_printer_opens_its_page(page: Page, made: Label) -> None:
    pixels = printed(page, made)
    assert abs(pixels.shape[1] - 84 / 25.4 * DPI) <= 2, "as large as it is said to be"
    assert read(pixels) == [made.url]
    modules = segno.make(made.url, error="q", micro=False).symbol_size(border=0)[0]
    dark = int(np.flatnonzero((pixels == 0).any(axis=0))[0])
    assert dark >= (1 + 34 * 4 / (modules + 8)) / 25.4 * DPI - 2, "four modules of white, for a dark post"
    height, side = pixels.shape
    scratched = pixels.copy()
    scratched[int(height * 0.4) : int(height * 0.65), int(side * 0.22) : int(side * 0.34)] = 255
    assert read(scratched) == [made.url], "a winter in the street"


def test_the_code_alone_is_read_too(page: Page) -> None:
    pixels = pixels_of(page, label.file_bytes(SHORT, ".PNG"))
    assert pixels.shape[0] % 8 == 0, "no dot is split"
    assert read(pixels) == [SHORT.url]
    found = re.search(rb"/MediaBox ?\[ ?0 0 ([\d.]+) ([\d.]+)", label.file_bytes(SHORT, ".pdf"))
    assert found is not None
    assert float(found[1]) == pytest.approx(pixels.shape[0] / 8 * MM, abs=1), "a millimetre a module"
    for suffix in ("", ".jpg", ".txt"):
        with pytest.raises(BadSetting, match=r"\.svg or \.html"):
            label.file_bytes(SHORT, suffix)


LIGHT = {"█": (255, 255), "▀": (255, 0), "▄": (0, 255), " ": (0, 0)}


@pytest.mark.parametrize("made", LABELS[:2], ids=["short", "long"])
@pytest.mark.parametrize("coloured", [True, False])
def test_a_terminals_blocks_are_read(made: Label, coloured: bool) -> None:
    rows = label.terminal(made, coloured=coloured).split("\n\n")[0].splitlines()
    if coloured:  # white is light and black is dark, whatever the terminal's own colours are
        assert all(row.startswith("\x1b[97;40m") and row.endswith("\x1b[0m") for row in rows)
        rows = [re.sub(r"\x1b\[[\d;]*m", "", row) for row in rows]
    halves = [[LIGHT[block][half] for block in row] for row in rows for half in (0, 1)]
    pixels = np.array(halves, np.uint8).repeat(6, axis=0).repeat(6, axis=1)
    assert read(pixels) == [made.url]


@pytest.mark.parametrize("made", LABELS, ids=["short", "long", "wide", "hyphens"])
def test_no_word_of_a_label_is_cut_or_lies_over_another(page: Page, made: Label) -> None:
    page.set_content(label.html([made]))
    boxes = page.evaluate(
        "[...document.querySelectorAll('text')].map(t => { const b = t.getBBox();"
        " return [b.x, b.x + b.width, b.y, b.y + b.height, t.textContent] })"
    )
    assert max(right for _, right, *_ in boxes) <= 84, boxes
    assert max(bottom for *_, bottom, _ in boxes) <= 36, boxes
    for above, below in pairwise(boxes):
        assert above[3] <= below[2] + 0.75, "their letters do not touch; descenders may"
    told = "".join(words for *_, words in boxes)
    assert made.device.rpartition("/")[2] in told
    assert made.claim_id in told
    assert len(made.site) > 100 or made.site in told
    assert "W" * 30 not in told or "…" in told


def pages_of(pdf: bytes) -> list[tuple[float, float]]:
    """Width and height of each, in millimetres."""
    sizes = re.findall(rb"/MediaBox ?\[ ?0 0 ([\d.]+) ([\d.]+)\]", pdf)
    assert len(sizes) == len(re.findall(rb"/Type ?/Page\b", pdf))
    return [(round(float(width) / MM), round(float(height) / MM)) for width, height in sizes]


def words_of(pdf: bytes, tmp_path: Path) -> str:
    """Everything in it, blanks left out; "" where nothing here can read a PDF."""
    if shutil.which("pdftotext") is None:
        return ""
    (tmp_path / "a.pdf").write_bytes(pdf)
    told = subprocess.run(["pdftotext", "-raw", tmp_path / "a.pdf", "-"], check=True, capture_output=True)
    return "".join(told.stdout.decode().split())


def test_a_label_is_a_page_of_its_own_size_and_several_share_a_sheet(page: Page, tmp_path: Path) -> None:
    page.set_content(label.html([LONG]))
    pdf = page.pdf(prefer_css_page_size=True)
    assert pages_of(pdf) == [(84, 36)]
    assert LONG.claim_id in (words_of(pdf, tmp_path) or LONG.claim_id)
    page.set_content(label.html([SHORT] * 14))
    assert pages_of(page.pdf(prefer_css_page_size=True)) == [(210, 297)]


def a_report(count: int, word: Callable[[int], str], **more: object) -> str:
    lines = tuple(
        Line(f"sensor {word(n)}"[:60], n > 0, word(n), word(n) if n == 0 else "") for n in range(count)
    )
    return render(replace(REPORT, test=replace(TEST, lines=lines), **more))  # type: ignore[arg-type]


def test_a_site_report_is_one_sheet_with_everything_on_it(page: Page, tmp_path: Path) -> None:
    page.set_content(a_report(14, lambda n: f"line {n} is well", photos=()))
    pdf = page.pdf(prefer_css_page_size=True)
    assert pages_of(pdf) == [(210, 297)]
    words = words_of(pdf, tmp_path)
    for told in ("MarketSquare3", "line13iswell", "pm2_5", "AnaReis", "Receivedby", "3.2m") if words else ():
        assert told.replace("AnaReis", "</script>") in words, told


def test_what_is_long_goes_over_to_another_sheet_and_not_over_the_edge(page: Page) -> None:
    photos = tuple(replace(Picture("", "image/jpeg", "x" * 100, JPEG), sha256=str(n)) for n in range(6))
    page.set_content(
        a_report(
            30, lambda _: "x" * 200, photos=photos, site="y" * 200, note="z" * 2000, technician="t" * 100
        )
    )
    assert len(pages_of(page.pdf(prefer_css_page_size=True))) > 1
    page.emulate_media(media="print")
    for width in (672, 320):  # A4 without its margins, and a phone
        page.set_viewport_size({"width": width, "height": 900})
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, "what is wider is cut by a printer"
    page.emulate_media(media="screen")
