"""A site report: whatever is changed in it is found; what it says is what was handed over."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from provisioning.technician import report
from provisioning.technician.errors import BadReport, WrongInput
from provisioning.technician.picture import Course, picture
from provisioning.technician.report import Picture, SiteReport
from provisioning.technician.report_page import render
from provisioning.technician.site_test import Line, SiteTest

KEY = Ed25519PrivateKey.generate()
TEST = SiteTest(
    "porto/lamp-07",
    "0.1.0",
    "2026-11-21T10:00:00+00:00",
    31.0,
    (Line("clock", True, "+0.1 s"), Line("broker", False, "<silent>", "Call & ask")),
    (Course("pm", "pm2_5", ((0.0, 8.0), (10.0, 9.5))),),
    11.2,
)
REPORT = SiteReport(
    id="0123456789abcdef0123456789abcdef",
    device="porto/lamp-07",
    made_at="2026-11-21T10:05:00+00:00",
    technician="Ana </script><b>Reis",
    received_by="Rui",
    site="Market Square 3",
    latitude=41.1496,
    longitude=-8.6109,
    height_m=3.2,
    note="two\nlines",
    test=TEST,
    photos=(Picture("aa", "image/png", 'front "door"', b"\x89PNG"),),
)
SIGNED = report.signed(render(REPORT), KEY)


def test_what_was_handed_over_is_read_back() -> None:
    found = report.verify(SIGNED)
    assert found.report == REPORT
    assert not found.report.passed
    assert replace(REPORT, test=replace(TEST, lines=TEST.lines[:1])).passed


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(SIGNED) - 1), st.integers(0, 255), st.sampled_from(["change", "cut", "add"]))
def test_whatever_is_changed_is_found(at: int, byte: int, how: str) -> None:
    changed = {
        "change": SIGNED[:at] + bytes([byte]) + SIGNED[at + 1 :],
        "cut": SIGNED[:at] + SIGNED[at + 1 :],
        "add": SIGNED[:at] + bytes([byte]) + SIGNED[at:],
    }[how]
    if changed == SIGNED:
        return
    try:
        found = report.verify(changed)
    except BadReport:
        return
    # base64 has spare bits: the same signature and key may be written in another way, the words may not
    start = SIGNED.rfind(b"<!-- lamppost")
    assert changed[:start] == SIGNED[:start]
    assert found.report == REPORT


def test_another_key_is_another_fingerprint_and_nothing_may_follow() -> None:
    mine, other = (
        report.verify(SIGNED),
        report.verify(report.signed(render(REPORT), Ed25519PrivateKey.generate())),
    )
    assert mine.key_fingerprint != other.key_fingerprint
    for wrong in (
        b"",
        b"<html>",
        SIGNED + b"<p>more</p>",
        SIGNED + SIGNED[SIGNED.rfind(b"<!--") :],
        SIGNED[:-5],
    ):
        with pytest.raises(BadReport):
            report.verify(wrong)


class Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_shows_words_as_words_and_loads_nothing() -> None:
    seen = Seen()
    seen.feed(SIGNED.decode())
    assert "b" not in seen.tags
    assert seen.tags.count("script") == 1, "the data, which is not run"
    assert 'type="application/json"' in SIGNED.decode()
    assert all(each.startswith("data:image/") for each in seen.loads)
    told = " ".join(seen.text)
    for word in (
        "Site test NOT passed",
        "Market Square 3",
        "3.2 m",
        "<silent>",
        "Call & ask",
        "Received by Rui",
    ):
        assert word in told


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "x"},
        {"device": "lamp-07"},
        {"device": "porto/../x"},
        {"made_at": "yesterday"},
        {"made_at": "2026-11-21T10:00:00"},
        {"technician": " "},
        {"technician": "x" * 101},
        {"note": "x" * 2001},
        {"site": "a\x07"},
        {"latitude": None},
        {"latitude": 91.0},
        {"height_m": -1.0},
        {"test": replace(TEST, device="porto/other")},
        {"photos": REPORT.photos * 7},
    ],
)
def test_what_cannot_be_handed_over(wrong: dict[str, object]) -> None:
    with pytest.raises(WrongInput):
        report.checked(replace(REPORT, **wrong))  # type: ignore[arg-type]


def data_of(told: object) -> bytes:
    page = f'<script type="application/json" id="site-report">{json.dumps(told)}</script>'
    return report.signed(page, KEY)


@pytest.mark.parametrize(
    "told",
    [None, [], {}, {"format": 2}, {"format": 1}, {"format": 1, "test": None, "photos": []}]
    + [report.as_json(REPORT) | wrong for wrong in (
        {"more": 1}, {"latitude": "41"}, {"latitude": True}, {"height_m": float("nan")}, {"photos": [1]},
        {"photos": None}, {"technician": 7}, {"made_at": 3}, {"test": {"lines": 3}}, {"test": "passed"},
    )],
)  # fmt: skip
def test_data_that_was_signed_and_is_no_report(told: object) -> None:
    with pytest.raises(BadReport):
        report.verify(data_of(told))


@pytest.mark.parametrize(
    "seal",
    [b"e30=", b"W10=", b"AA==", base64.b64encode(json.dumps({"alg": "none", "key": "", "sig": ""}).encode())],
)
def test_a_seal_of_nothing_is_refused(seal: bytes) -> None:
    content = SIGNED[: SIGNED.rfind(b"<!-- lamppost")]
    with pytest.raises(BadReport):
        report.verify(content + b"<!-- lamppost-site-report " + seal + b" -->\n")


def test_the_technicians_key_is_made_once_and_is_theirs_alone(tmp_path: Path) -> None:
    file = tmp_path / "home" / "technician.key"
    made = report.technician_key(file).public_key()
    assert report.technician_key(file).public_key() == made
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)
    with pytest.raises(WrongInput):
        report.technician_key(file)
    file.write_text("x")
    file.chmod(0o600)
    with pytest.raises(WrongInput):
        report.technician_key(file)


def test_the_picture_of_one_value_and_of_none() -> None:
    assert "nothing" in picture((), 0.0)
    drawn = picture((Course("pm", "pm2_5", ((3.0, 7.0),)),), 30.0)
    assert "nan" not in drawn
    assert drawn.count("<circle") == 1
