"""What axe-core finds in a page: the rules that stop somebody from using it."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

GRAVE = {"serious", "critical"}


def grave(page: Page) -> list[str]:
    """Violations of a grave impact: the rule, and the first places where it is broken."""
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: " + " | ".join(node["html"][:160] for node in each["nodes"][:3])
        for each in found
        if each["impact"] in GRAVE
    ]
