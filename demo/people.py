"""Somebody for each role, so that whoever looks at the city can be any of the people it is made for."""

from __future__ import annotations

from demo.layout import TENANT, Layout
from demo.processes import Child, lamppost, run_all
from demo.settings import DemoSettings
from demo.start import TOGETHER, DidNotStart

ROLES = ("operator", "technician", "viewer", "partner", "security-officer", "approver")
MADE_S = 60.0  # six commands of two seconds, beside lampposts that drain two days


def invite(layout: Layout, settings: DemoSettings) -> None:
    """An account named after each role, with the administrator's password. Raises DidNotStart.

    On the machine's own console: the second person whom an administrator makes for themselves is none.
    """
    password = layout.root / "password"
    password.touch(0o600)
    try:
        password.write_text(f"{settings.admin_password}\n")
        runs = [_made(layout, role, ("--password-file", str(password))) for role in ROLES]
        failed = run_all(runs, TOGETHER, MADE_S)
    finally:
        password.unlink()
    if failed:
        raise DidNotStart(f"{failed[0].name} (status {failed[0].status}):\n{failed[0].tail()}")


def _made(layout: Layout, role: str, password: tuple[str, str]) -> Child:
    add = lamppost("fleet", "operators", "add", role, "--role", role, "--tenant", TENANT)
    config = ("--config", str(layout.server_config))
    return Child(f"account of the {role}", [*add, *password, *config], layout.logs / f"account-{role}.log")
