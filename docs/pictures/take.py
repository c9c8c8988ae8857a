"""Take docs/pictures/dashboard.png from pages that run: signs in, picks a lamppost, waits for its chart.

    LAMPPOST_PASSWORD=… python docs/pictures/take.py --url http://127.0.0.1:8080 --name admin

While `make demo` runs in another terminal, that is a picture of the demo.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
SETTLE_MS = 1500  # fonts and the chart's first drawing


def sign_in(page: Page, url: str, name: str, password: str) -> None:
    page.goto(url)
    page.fill("#name", name)
    page.fill("#password", password)
    page.keyboard.press("Enter")
    page.wait_for_selector("tr[data-id]", timeout=30_000)


def pick(page: Page, lamppost: str | None, span: str) -> None:
    row = page.locator(f"tr:has(strong:text-is('{lamppost}'))" if lamppost else "tr[data-id]").first
    row.click()
    page.click(f"label:has(input[name=range][value='{span}'])")
    page.wait_for_function(
        "span => { const s = window.lamppost.store;"
        " const drawn = s.chart?.lamppost === s.picked && s.chart.key.includes(`:${span}:`);"
        " return drawn && s.chart.t.length > 1 }",
        arg=span,
        timeout=30_000,
    )
    page.wait_for_timeout(SETTLE_MS)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--name", default="admin")
    parser.add_argument("--lamppost", help="its name; the first of the list otherwise")
    parser.add_argument("--range", default="6h", choices=["1h", "6h", "48h", "7d"])
    parser.add_argument("--scheme", default="light", choices=["light", "dark"])
    parser.add_argument("--width", type=int, default=1440)
    parser.add_argument("--height", type=int, default=900)
    parser.add_argument("--to", type=Path, default=HERE / "dashboard.png")
    given = parser.parse_args()
    password = os.environ.get("LAMPPOST_PASSWORD")
    if not password:
        print("take.py: set LAMPPOST_PASSWORD to the password of --name", file=sys.stderr)
        return 2
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        page = browser.new_page(
            viewport={"width": given.width, "height": given.height}, color_scheme=given.scheme
        )
        sign_in(page, given.url, given.name, password)
        pick(page, given.lamppost, given.range)
        page.screenshot(path=given.to)
        browser.close()
    print(given.to)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
