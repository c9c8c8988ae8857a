"""Take the pictures of docs/pictures from pages that run: the map, the newest incident, a lamppost, one on a
phone, what waits for a second person, the audit log.

    LAMPPOST_PASSWORD=… python docs/pictures/take.py --url http://127.0.0.1:8080 --name admin --wait 300

While `make demo` runs in another terminal, those are pictures of the demo: `--wait` waits so many seconds for
the incident of its story, and the lamppost is the one whose sensor is stuck. What waits for another person is
asked for on the page of a lamppost first ("Let in, shut out, certificates": for good), as admin; then:

    LAMPPOST_PASSWORD=… python docs/pictures/take.py --name approver --only approvals
    LAMPPOST_PASSWORD=… python docs/pictures/take.py --name security-officer --only audit
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from playwright.sync_api import Error, Page, sync_playwright

HERE = Path(__file__).parent
CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
SETTLE_MS = 2_500  # fonts, the charts' first drawing, the map's last zoom
TIMEOUT_MS = 30_000
ACK_MS = 100_000  # a site test waits for the first ack for 90 s
INCIDENT = "a[href^='/incidents/']"


def sign_in(page: Page, url: str, name: str, password: str) -> None:
    page.goto(url)
    page.fill("#name", name)
    page.fill("#password", password)
    page.keyboard.press("Enter")
    page.wait_for_selector(".bar .city", timeout=TIMEOUT_MS)


def wait_for_incident(page: Page, given: argparse.Namespace) -> None:
    """Until somebody would be told of it."""
    page.goto(f"{given.url}/incidents")
    page.wait_for_selector(INCIDENT, timeout=given.wait * 1000)


def show_map(page: Page, given: argparse.Namespace) -> None:
    page.goto(given.url)
    page.wait_for_selector(".map .mark-box", timeout=TIMEOUT_MS)


def show_incident(page: Page, given: argparse.Namespace) -> None:
    page.goto(f"{given.url}/incidents")
    page.wait_for_selector(INCIDENT, timeout=TIMEOUT_MS)
    page.locator(INCIDENT).first.click()
    page.wait_for_selector(".incident-head .title-line", timeout=TIMEOUT_MS)


def show_lamppost(page: Page, given: argparse.Namespace) -> None:
    page.goto(f"{given.url}/lamppost/{given.lamppost}")
    page.wait_for_selector("h1", timeout=TIMEOUT_MS)


def show_field(page: Page, given: argparse.Namespace) -> None:
    """As a technician's phone has it, scrolled through; its first ack is measured."""
    page.set_viewport_size({"width": 390, "height": 1440})
    page.goto(f"{given.url}/field/{given.lamppost}/test")
    page.wait_for_selector("text=Test again", timeout=ACK_MS)
    page.wait_for_selector(".verdict", timeout=TIMEOUT_MS)


def show_approvals(page: Page, given: argparse.Namespace) -> None:
    page.goto(f"{given.url}/approvals")
    page.wait_for_selector(".request", timeout=TIMEOUT_MS)


def show_audit(page: Page, given: argparse.Namespace) -> None:
    page.goto(f"{given.url}/audit")
    page.wait_for_selector("table.cards", timeout=TIMEOUT_MS)


PICTURES: Mapping[str, Callable[[Page, argparse.Namespace], None]] = MappingProxyType(
    {
        "lamppost": show_lamppost,
        "incident": show_incident,
        "map": show_map,
        "approvals": show_approvals,
        "audit": show_audit,
        "field": show_field,
    }
)

USUALLY = ("lamppost", "incident", "map", "field")  # of the others somebody else has to be signed in


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--name", default="admin")
    parser.add_argument(
        "--only", action="append", choices=list(PICTURES), help=f"again for more; default {USUALLY}"
    )
    parser.add_argument("--lamppost", default="demo/post-05", metavar="TENANT/NAME")
    parser.add_argument("--wait", type=float, default=0.0, metavar="S", help="for an incident to be there")
    parser.add_argument("--scheme", default="light", choices=["light", "dark"])
    parser.add_argument("--width", type=int, default=1440)
    parser.add_argument("--height", type=int, default=900)
    parser.add_argument("--whole", action="store_true", help="all of a page that is longer than the window")
    parser.add_argument("--to", type=Path, default=HERE, metavar="FOLDER")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    password = os.environ.get("LAMPPOST_PASSWORD")
    if not password:
        print("take.py: set LAMPPOST_PASSWORD to the password of --name", file=sys.stderr)
        return 2
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(
            viewport={"width": given.width, "height": given.height}, color_scheme=given.scheme
        )
        try:
            sign_in(page, given.url, given.name, password)
            if given.wait:
                wait_for_incident(page, given)
            for picture in PICTURES:  # the lamppost first: meanwhile an incident grows
                if picture in (given.only or USUALLY):
                    PICTURES[picture](page, given)
                    page.wait_for_timeout(SETTLE_MS)
                    file = given.to / f"{picture}{'-dark' * (given.scheme == 'dark')}.png"
                    page.screenshot(path=file, full_page=given.whole)
                    print(file)
        except Error as failed:
            print(f"take.py: {failed.message.splitlines()[0]}", file=sys.stderr)
            return 1
        finally:
            browser.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
