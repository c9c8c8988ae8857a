"""Everything that a person does on a page can be done by the API and from a terminal as well, and whoever
does it can say why.

`DONE` says how. The forms of the pages are found by their registrations, the elements' events by their
handlers; one without a line fails, and so does a line whose route or command there is not. Each takes a
reason: a field of that name, or words of its own (`OWN_WORDS`), but for a few (`WITHOUT`).
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI

from dashboards import frame, incident_pages, lamppost_ordering, lamppost_page
from dashboards.asked_from import asked_why
from dashboards.forms import WHY
from fleet_server import admin_cli, audit_cli, privacy_cli
from fleet_server.api import create_app
from provisioning.technician import cli as technician_cli
from tests.dashboards import every_form
from tests.support.server_context import make_context

PAGES = Path(__file__).parents[2] / "dashboards"
TREES = {
    "fleet": admin_cli.parser,
    "audit": audit_cli.parser,
    "privacy": privacy_cli.parser,
    "provision": technician_cli.parser,
}
API = "/api/v1"
DEVICE = "/api/v1/devices/{tenant}/{name}"

# what is done on a page -> (its route, its command)
DONE: dict[str, tuple[str, str]] = {
    # signing in; a terminal asks for name, password and code where a person has to be known
    "POST /sign-in": (f"POST {API}/session", "provision sign-in"),
    "POST /sign-in/code": (f"POST {API}/session/second-factor", "fleet approvals approve"),
    "POST /sign-out": (f"DELETE {API}/session", "fleet sessions end"),
    "POST /account/tenant": (f"PUT {API}/session/tenant", "fleet approvals approve"),  # --tenant, of each
    "POST /account/password": (f"PUT {API}/account/password", "fleet account password"),
    "POST /account/factor": (f"POST {API}/account/second-factor", "fleet account factor"),
    "POST /account/factor/confirm": (f"POST {API}/account/second-factor/confirm", "fleet account factor"),
    "POST /account/factor/remove": (
        f"POST {API}/account/second-factor/remove",
        "fleet account factor-remove",
    ),
    "POST /account/session": (f"DELETE {API}/account/sessions/{{number}}", "fleet sessions end"),
    # people and machines
    "POST /people": (f"POST {API}/operators", "fleet operators add"),
    "POST /people/{name}/roles": (f"PUT {API}/operators/{{name}}/grants/{{tenant}}", "fleet operators grant"),
    "POST /people/{name}/password": (f"PUT {API}/operators/{{name}}/password", "fleet operators password"),
    "POST /people/{name}/factor": (
        f"DELETE {API}/operators/{{name}}/second-factor",
        "fleet operators totp-reset",
    ),
    "POST /people/{name}/sessions": (f"DELETE {API}/operators/{{name}}/sessions", "fleet sessions end"),
    "POST /people/{name}/state": (f"PUT {API}/operators/{{name}}/state", "fleet operators disable"),
    "POST /tokens": (f"POST {API}/tokens", "fleet tokens new"),
    "POST /tokens/{number}/revoke": (f"DELETE {API}/tokens/{{number}}", "fleet tokens revoke"),
    "POST /approvals/{number}/approve": (
        f"POST {API}/approvals/{{number}}/approve",
        "fleet approvals approve",
    ),
    "POST /approvals/{number}/refuse": (f"POST {API}/approvals/{{number}}/refuse", "fleet approvals refuse"),
    "POST /approvals/{number}/withdraw": (
        f"POST {API}/approvals/{{number}}/withdraw",
        "fleet approvals withdraw",
    ),
    "GET /audit/export": (f"GET {API}/audit/export", "audit export"),
    "POST /audit/verify": (f"GET {API}/audit/verification", "audit verify"),
    "POST /tenants": (f"PUT {API}/tenants/{{tenant}}", "fleet tenants add"),
    "POST /tenants/{tenant}": (f"PUT {API}/tenants/{{tenant}}", "fleet tenants quota"),
    # lampposts
    "POST /standing/{tenant}/{name}": (f"PUT {DEVICE}/state", "fleet lamppost decommission"),
    "POST /standing/{tenant}/{name}/revoke": (
        f"POST {DEVICE}/certificates/{{serial}}/revoke",
        "fleet certificates revoke",
    ),
    "POST /field/claim": (f"POST {API}/claims", "fleet claim new"),
    "POST /c/{claim}": (f"POST {API}/enrolments/{{enrolment_id}}/accept", "fleet enrolments accept"),
    "POST /c/{claim}/withdraw": (f"DELETE {API}/claims/{{claim_id}}", "fleet claim withdraw"),
    "POST /batches": (f"POST {API}/claim-batches", "fleet batch new"),
    "POST /batches/{batch}/revoke": (f"POST {API}/claim-batches/{{batch_id}}/revoke", "fleet batch revoke"),
    "POST /batches/{batch}/resume": (f"POST {API}/claim-batches/{{batch_id}}/resume", "fleet batch resume"),
    "POST /batches/alarm/{number}": (f"POST {API}/claim-alarms/{{alarm_id}}/seen", "fleet alarms seen"),
    "POST /keys": (f"POST {API}/registered-keys", "fleet keys add"),
    "POST /keys/withdraw": (f"DELETE {API}/claims/{{claim_id}}", "fleet claim withdraw"),
    "POST /settings": (f"PATCH {API}/settings/tenant", "fleet settings set"),
    "POST /groups": (f"POST {API}/groups", "fleet groups add"),
    "POST /groups/{name}/settings": (f"PATCH {API}/groups/{{group}}/settings", "fleet groups set"),
    "POST /groups/{name}/add": (f"POST {API}/groups/{{group}}/members", "fleet groups members"),
    "POST /groups/{name}/remove": (f"POST {API}/groups/{{group}}/members", "fleet groups members"),
    "POST /groups/{name}/tell": (f"POST {API}/commands/bulk", "fleet command send"),
    "POST /groups/{name}/delete": (f"DELETE {API}/groups/{{group}}", "fleet groups remove"),
    "POST /bulk/{bulk}/cancel": (f"POST {API}/commands/bulk/{{bulk}}/cancel", "fleet command cancel"),
    "notices decide": (f"POST {API}/enrolments/{{enrolment_id}}/accept", "fleet enrolments accept"),
    "POST /field/{tenant}/{name}/place": (f"PUT {API}/field/work/{{work_id}}", "provision place"),
    "POST /field/{tenant}/{name}/note": (f"PUT {API}/field/work/{{work_id}}", "provision note"),
    "POST /field/{tenant}/{name}/unit": (f"PUT {API}/field/work/{{work_id}}", "provision replace unit"),
    "POST /field/{tenant}/{name}/calibrate": (f"PUT {API}/field/work/{{work_id}}", "provision calibrate"),
    "POST /field/{tenant}/{name}/device": (f"POST {API}/claims", "provision replace device"),
    "POST /field/{tenant}/{name}/decommission": (
        f"PUT {API}/field/work/{{work_id}}",
        "provision decommission",
    ),
    "POST /field/{tenant}/{name}/photo": (f"PUT {DEVICE}/photos", "provision photo"),
    "POST /field/{tenant}/{name}/handover": (f"POST {DEVICE}/handover", "provision handover"),
    "sensors calibrate": (f"POST {DEVICE}/calibrations", "fleet calibration set"),
    "ordering order tell": (f"POST {DEVICE}/commands", "fleet command send"),
    "ordering order cancel": (f"POST {API}/commands/{{command_id}}/cancel", "fleet command cancel"),
    "ordering order save": (f"GET {API}/commands/{{command_id}}/file", "fleet command file"),
    # incidents
    "head act acknowledge": (f"POST {API}/incidents/{{incident_id}}/acknowledge", "fleet incidents ack"),
    "head act silence": (f"POST {API}/incidents/{{incident_id}}/silence", "fleet incidents silence"),
    "head act note": (f"POST {API}/incidents/{{incident_id}}/notes", "fleet incidents note"),
    "head act close": (f"POST {API}/incidents/{{incident_id}}/close", "fleet incidents close"),
}
# What is not asked why twice: the field that says it already.
OWN_WORDS = {
    "POST /approvals/{number}/approve": "note",
    "POST /approvals/{number}/refuse": "note",
    "POST /field/{tenant}/{name}/note": "text",
    "POST /field/{tenant}/{name}/handover": "note",
    "head act note": "text",
    "head act close": "text",
}
# What nobody is asked the reason of, and why not.
WITHOUT = {
    "POST /sign-in": "whoever comes in changes nothing yet",
    "POST /sign-in/code": "the same",
    "POST /sign-out": "whoever leaves changes nothing more",
    "POST /account/factor": "nothing is changed before its first code",
    "POST /account/factor/confirm": "a lock that is added explains itself",
    "POST /audit/verify": "it looks, and changes nothing",
    "ordering order save": "a file is fetched, and nothing changed",
}
LOOKING = {
    "pick",
    "period",
    "series",
    "index",
    "hours",
}  # events that choose what is shown, and change nothing
# Events that carry what is to be done: the function that takes it apart.
BRANCHES = {"act": ("data_incidents.py", "act"), "order": ("lamppost_ordering.py", "_do")}
REGISTERING = {"forms.py", "sign_in.py"}  # nobody else gives NiceGUI's application a route
FRAMEWORK_ROUTES = {"add_api_route", "post", "put", "delete", "patch", "api_route"}


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(PAGES.glob("*.py")):
        yield path, ast.parse(path.read_text())


def strings(nodes: list[ast.expr]) -> list[str]:
    return [each.value for each in nodes if isinstance(each, ast.Constant) and isinstance(each.value, str)]


def forms_there_are() -> set[str]:
    """("POST", path, handler), wherever such a registration stands."""
    found = set()
    for _, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Tuple) and len(node.elts) == 3:
                told = strings(node.elts[:2])
                if len(told) == 2 and told[0] in {"POST", "PUT", "DELETE"}:
                    found.add(" ".join(told))
    return found


def events_there_are() -> set[str]:
    """`element.on("event", ...)`, with what it carries where it carries several things to do."""
    found = set()
    for _, tree in modules():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr != "on" or len(node.args) < 2:
                continue
            [event] = strings(node.args[:1])
            element = node.func.value.id if isinstance(node.func.value, ast.Name) else "an element"
            if event in BRANCHES:
                found |= {f"{element} {event} {what}" for what in branches(*BRANCHES[event])}
            elif event not in LOOKING:
                found.add(f"{element} {event}")
    return found


def branches(module: str, function: str) -> set[str]:
    """The cases that a function tells apart."""
    tree = ast.parse((PAGES / module).read_text())
    return {
        value
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function
        for case in ast.walk(node)
        if isinstance(case, ast.MatchValue)
        for value in strings([case.value])
    }


def commands_there_are() -> set[str]:
    found: set[str] = set()

    def walk(one: argparse.ArgumentParser, name: str) -> None:
        groups = [each for each in one._actions if isinstance(each, argparse._SubParsersAction)]
        found.update(() if groups else [name])
        for group in groups:
            for word, inner in group.choices.items():
                walk(inner, f"{name} {word}")

    for program, parser in TREES.items():
        walk(parser(), program)
    return found


def routes_there_are(app: FastAPI) -> set[str]:
    return {f"{method.upper()} {path}" for path, of in app.openapi()["paths"].items() for method in of}


def test_what_is_done_on_a_page_has_a_route_and_a_command(tmp_path: Path) -> None:
    there = forms_there_are() | events_there_are()
    assert there - DONE.keys() == set()
    assert DONE.keys() - there == {"GET /audit/export"}
    context = make_context("postgresql://nobody@127.0.0.1:1/none", tmp_path)
    routes, commands = routes_there_are(create_app(context)), commands_there_are()
    context.db.close()
    assert {route for route, _ in DONE.values()} - routes == set()
    assert {command for _, command in DONE.values()} - commands == set()


def test_no_page_registers_a_form_beside_the_list() -> None:
    """What the walk above cannot see: a route that is given to the framework elsewhere."""
    elsewhere = {
        path.name
        for path, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in FRAMEWORK_ROUTES
        if isinstance(node.value, ast.Name) and node.value.id in {"app", "web"}
    }
    assert elsewhere <= REGISTERING


def test_every_form_asks_why() -> None:
    """As drawn. One that no view draws here fails: add its state to `every_form.pages`."""
    paths = {key: re.sub(r"\{\w+\}", "[^/]+", key.removeprefix("POST ")) for key in forms_there_are()}
    drawn: dict[str, list[every_form.Form]] = {key: [] for key in paths}
    for form in every_form.forms():
        [key] = [key for key, path in paths.items() if re.fullmatch(path, form.action)] or [form.action]
        if form.words != "Sign out":
            drawn[key].append(form)
    assert {key for key, found in drawn.items() if not found} == {"POST /sign-out"}
    mute = {
        key
        for key, found in drawn.items()
        if not all(each.names & {WHY, OWN_WORDS.get(key)} for each in found)
    }
    assert mute == {key for key in WITHOUT if key in drawn} - {"POST /sign-out"}
    twice = {key for key in OWN_WORDS if any(WHY in each.names for each in drawn.get(key, ()))}
    assert twice == set(), "nobody is asked twice"


def emitted(event: str, what: str) -> list[str]:
    """The lines of the elements' scripts in which a browser sends it, or gathers what it sends."""
    lines = [line for path in sorted(PAGES.glob("elements/*.js")) for line in path.read_text().splitlines()]
    sends = (
        rf"""(act|ask)\(['"]{what}['"], |emit\("{event}", \{{ what: "{what}\""""
        if what
        else rf'emit\("{event}"'
    )
    return [line for line in lines if re.search(sends, line)]


@pytest.mark.parametrize("key", sorted(events_there_are()))
def test_every_event_says_why_from_the_browser_to_what_is_done(key: str) -> None:
    """Its script sends the reason; its handler refuses one that cannot be, and what is done has it."""
    _, event, what = [*key.split(" "), ""][:3]
    lines = emitted(event, what)
    assert lines, "its script was not found"
    if key in WITHOUT:
        return
    own = OWN_WORDS.get(key, WHY)
    assert [line for line in lines if not re.search(rf'\b{own}\b(?!")', line)] == []  # a class is none
    told, problem = asyncio.run(handled(event, what, {own: "so"}))
    assert (told, problem) == (["so"], "")
    if own == WHY:
        for garbage in ("a\x1bb", "w" * 501, 7):
            told, problem = asyncio.run(handled(event, what, {own: garbage}))
            assert told == []
            assert "reason" in problem


async def handled(event: str, what: str, sent: dict[str, Any]) -> tuple[list[str], str]:
    """What the source was told of why, and what the browser is answered."""
    told: list[str] = []
    answers: list[Any] = []

    async def done(*given: Any) -> None:
        words = [each for each in given if each == sent.get("text", sent.get("why"))]
        told.append(asked_why() or str(words[0]))

    element: Any = SimpleNamespace(run_method=lambda *given: answers.extend(given))
    hub: Any = SimpleNamespace(forget=lambda _: None, snapshot_of=lambda _: SimpleNamespace(found={}))
    source: Any = SimpleNamespace(act=done, calibrate=done, tell=done, cancel=done)
    viewer: Any = SimpleNamespace(
        who=None, number=7, key=("x",), post=SimpleNamespace(id=1), calibrations_key=()
    )
    sent = SENT[event] | {"what": what} | sent
    asked: Any = SimpleNamespace(args=sent)
    match event:
        case "decide":
            await frame._decide(asked, hub, viewer.who, done, element)
        case "act":
            await incident_pages._act(asked, hub, viewer, source, element)
        case "calibrate":
            await lamppost_page._calibrate(asked, hub, viewer, source, element)
        case _:
            await lamppost_ordering.obey(asked, hub, viewer.who, viewer.post, source, element)
    return told, answers[{"decide": 4, "act": 2}.get(event, 1)]


SENT: dict[str, dict[str, Any]] = {
    "decide": {"id": 1, "accept": False},
    "act": {"version": 1},
    "calibrate": {
        "unit": 1, "channel": "pm2_5", "slope": 1, "offset": 0, "humidity": 0, "valid": 1_700_000_000_000,
        "source": "x",
    },
    "order": {"command": "ping", "number": 1},
}  # fmt: skip


def test_the_walks_find_something() -> None:
    assert {"POST /people", "POST /sign-in", "POST /field/{tenant}/{name}/place"} <= forms_there_are()
    assert {"notices decide", "head act silence", "ordering order tell"} <= events_there_are()
    assert {"fleet tokens new", "audit verify", "provision place"} <= commands_there_are()
