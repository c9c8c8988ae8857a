"""A name is found and erased wherever it stands, however it is written; what is no name stays as it is."""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from fleet_server.access.rules import Principal, Role
from fleet_server.audit import keys
from fleet_server.audit.recording import record
from fleet_server.audit.rules import beside
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.devices.service import Address
from fleet_server.errors import NotFound
from fleet_server.privacy import finding, rules, service
from fleet_server.privacy.inventory import How, Kept, Place
from fleet_server.technician import service as technician
from fleet_server.technician.service import Kind, NewWork
from fleet_server.twin import service as twin
from provisioning.technician.report import SiteReport, signed
from provisioning.technician.report_page import render
from tests.fleet_server.privacy.test_privacy import sql
from tests.support.server_context import ADMIN

LAMP = Address("city", "lamp-01")
WORKER = Principal("operator", "tess", frozenset({Role.TECHNICIAN}))
NFD = unicodedata.normalize("NFD", "João Conceição")


@pytest.fixture(scope="module", autouse=True)
def lamp(ctx: Context) -> None:
    keys.ensure(ctx.config.data_dir)
    devices.register(ctx, ADMIN, LAMP)


@pytest.fixture(autouse=True)
def cleared(ctx: Context) -> Iterator[None]:
    yield
    sql(ctx, "DELETE FROM site_work")
    sql(ctx, "DELETE FROM site_report")


def found(ctx: Context, name: str) -> set[str]:
    return {f"{each.place.table}.{each.place.column}" for each in service.find(ctx, ADMIN, [name])}


def report(ctx: Context, number: str, document: bytes, technician: str = "") -> None:
    statement = (
        "INSERT INTO site_report (id, tenant, device, made_at, received_at, technician, received_by,"
        " sent_by, key_fingerprint, key_known, passed, sha256, document)"
        " VALUES (:id, 'city', 'lamp-01', now(), now(), :technician, '', '', '', true, true, '', :document)"
    )
    sql(ctx, statement, id=number, document=document, technician=technician)


def erased(ctx: Context, name: str) -> str:
    """The tombstone; that somebody asked is beside lines as well, and gone with the rest. What is written
    otherwise stays, and is told."""
    tombstone = service.erase(ctx, ADMIN, [name]).tombstone
    assert all(each.spelled for each in service.find(ctx, ADMIN, [name]))
    return tombstone


# what is written, the name that somebody gives, what is left of it
WRITTEN = [
    pytest.param("Door code changed.\nAna Silva has it", "Ana Silva", "Door code changed.\n{} has it"),
    pytest.param("Key:\tAna Silva", "Ana Silva", "Key:\t{}"),
    pytest.param("Ana\nSilva, or Ana  Silva, or Ana\u00a0Silva", "Ana Silva", "{}, or {}, or {}"),
    pytest.param("ask João Conceição", NFD, "ask {}"),
    pytest.param(f"ask {NFD}.", "João Conceição", "ask {}."),
    pytest.param("JOÃO CONCEIÇÃO WAS HERE", "joão conceição", "{} WAS HERE"),
    pytest.param("Straße 5, Jörg Groß; JÖRG GROSS", "Jörg Groß", "Straße 5, {}; {}"),
    pytest.param('Ana "Nocas" Silva said "no"', 'Ana "Nocas" Silva', '{} said "no"'),
    pytest.param("Pat O\u2019Brien, Pat O'Brien", "Pat O'Brien", "{}, {}"),
    pytest.param("a \\ and \\nna", "na", "a \\ and \\nna"),
    pytest.param("line\na is no na", "na", "line\na is no {}"),
    pytest.param("“Nuno” and <Nuno>, -Nuno", "Nuno", "“{}” and <{}>, -{}"),
    pytest.param("Señana, Ana\u0303, a-ana, ana.x, ana", "ana", "Señana, Ana\u0303, a-ana, ana.x, {}"),
    pytest.param("key with 田中太郎さん", "田中太郎", "key with {}さん"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "name", "left"), WRITTEN)
def test_a_name_in_free_text(ctx: Context, written: str, name: str, left: str) -> None:
    """In a text, in JSON's values, beside a line of the audit log as it is and within JSON."""
    with ctx.db.session() as session:
        record(session, ADMIN, "devices:change", "city/lamp-01", reason=written)
        told = beside(before={"title": written}, after={"title": 7})
        record(session, ADMIN, "devices:change", "city/lamp-01", personal=told)
    before = sql(ctx, "SELECT max(number) FROM audit_line")[0][0]
    sql(ctx, "UPDATE device SET site = :site", site=written)
    body = {"text": written, "list": [written, 7, None, True, 0.1], "deep": {"er": written}}
    sql(
        ctx,
        "INSERT INTO site_work (id, tenant, device, kind, done_at, received_at, done_by, digest, body)"
        " VALUES ('w', 'city', 'lamp-01', 'note', now(), now(), 'tess', '', CAST(:body AS jsonb))",
        body=json.dumps(body),
    )
    if "{}" not in left:
        assert found(ctx, name) == set()
        return
    assert found(ctx, name) == {"device.site", "site_work.body", "audit_personal.value"}
    left = left.replace("{}", erased(ctx, name))
    assert sql(ctx, "SELECT site FROM device")[0][0] == left
    (kept,) = sql(ctx, "SELECT body FROM site_work")
    assert kept[0] == {"text": left, "list": [left, 7, None, True, 0.1], "deep": {"er": left}}
    lines = "SELECT name, value FROM audit_personal WHERE number > :before AND number <= :before + 1"
    values = dict(sql(ctx, lines, before=before - 2) + sql(ctx, lines, before=before - 1))
    assert values["reason"].startswith(rules.TOMBSTONE)
    assert values["before"].startswith(rules.TOMBSTONE)
    assert values["after"] == '{"title":7}'


def test_a_technician_s_note_as_it_comes(ctx: Context) -> None:
    note = {"text": "Door code changed.\nRui Pena has the key"}
    technician.do_work(ctx, WORKER, NewWork("0" * 32, Kind.NOTE, LAMP, datetime.now(UTC), note))
    assert found(ctx, "Rui Pena") == {"site_work.body", "audit_personal.value"}, "a note is its own reason"
    assert dict(service.export(ctx, ADMIN, ["Rui Pena"]))["site_work.body"]["body"] == note
    tombstone = erased(ctx, "Rui Pena")
    (kept,) = sql(ctx, "SELECT body FROM site_work")
    assert kept[0] == {"text": f"Door code changed.\n{tombstone} has the key"}


def test_tags_and_their_keys(ctx: Context) -> None:
    """Of two keys that become one tombstone neither is lost."""
    twin.change_tags(
        ctx, ADMIN, LAMP, twin.Wish({"Eva Luz": "a", "eva luz": "b", "note": "of\nEva Luz", "n": 7})
    )
    assert found(ctx, "Eva Luz") >= {"device_twin.tags", "device_twin.tags_at"}
    tombstone = erased(ctx, "Eva Luz")
    tags, tags_at = sql(ctx, "SELECT tags, tags_at FROM device_twin")[0]
    assert {tags[tombstone], tags[f"{tombstone} 2"]} == {"a", "b"}
    assert (tags["note"], tags["n"], len(tags)) == (f"of\n{tombstone}", 7, 4)
    assert tags.keys() == tags_at.keys()


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ({"note": "asked for\nJoão Conceição"}, NFD),
        ({"technician": "JOÃO  CONCEIÇÃO"}, "João Conceição"),
        ({"note": "by “Pat O'Brien”"}, "Pat O’Brien"),
        ({"note": 'at C:\\new "Ana & Söhne"'}, "ana & söhne"),
    ],
)
def test_a_signed_report(ctx: Context, told: dict[str, str], name: str) -> None:
    empty = SiteReport("1" * 32, str(LAMP), datetime.now(UTC).isoformat(), "tess")
    made = replace(empty, **told)  # type: ignore[arg-type]
    document = signed(render(made), Ed25519PrivateKey.generate())
    technician.put_report(ctx, WORKER, made.id, document)
    assert "site_report.document" in found(ctx, name)
    assert "site_report.document" not in found(ctx, "Nobody Else")
    tombstone = erased(ctx, name)
    document, who = sql(ctx, "SELECT document, technician FROM site_report")[0]
    assert (bytes(document), who) == (b"", tombstone if "technician" in told else "tess")


def test_a_document_that_is_no_report_of_ours(ctx: Context) -> None:
    """Bytes that are no text, and words that stand in what people see alone."""
    seen = html.escape("Pat O'Brien").encode()
    for document, there in (
        (b"\xff\x00" + seen, True),
        (b'<script type="application/json"\xff', False),
        (b"", False),
    ):
        report(ctx, "r", document)
        assert ("site_report.document" in found(ctx, "Pat O'Brien")) is there
        sql(ctx, "DELETE FROM site_report")


def test_a_name_as_a_whole_value(ctx: Context) -> None:
    """An account's is exact; what somebody typed in full is not."""
    place = Place("t", "name", How.NAME, "", Kept.THING)
    account = Place("t", "name", How.NAME, "", Kept.ACCOUNT)

    def speaks(where: Place, value: str, name: str) -> bool:
        query = f"SELECT {finding.match(where)} FROM (SELECT CAST(:value AS text) AS name) t"
        return bool(sql(ctx, query, value=value, **finding.parameters([name]))[0][0])

    for value, name, expected in (
        ("ana", "ana", True),
        ("Ana  SILVA ", "ana silva", True),
        ("Ana Silva (Lumen Lda)", "ana silva", True),
        (NFD, unicodedata.normalize("NFC", NFD), True),
        ("Ana Costa", "ana", False),
        ("ana.silva", "ana", False),
        ("ana-maria", "ana", False),
        ("city/ana", "ana", False),
        ("Mariana Silva", "Ana Silva", False),
    ):
        assert speaks(place, value, name) is expected, (value, name)
    assert speaks(account, "ana", "ana")
    assert not speaks(account, "ana", "Ana")
    assert not speaks(account, "idp|ana", "ana")


def test_who_stands_beside_the_erased_one_stays(ctx: Context) -> None:
    """Of "Ana Silva e João Costa" only she goes; of "Ana Costa", whom nobody meant, nothing."""
    for number, name in enumerate(("Ana Costa", "ana  SILVA", "Ana Silva e João Costa")):
        document = b'<script type="application/json">\x00\xff</script>' if number == 0 else b""  # a decoy
        report(ctx, f"r{number}", document, name)
    service.erase(ctx, ADMIN, ["ana", "Ana Silva"])
    rows = sql(ctx, "SELECT technician FROM site_report ORDER BY id")
    assert rows[0] == ("Ana Costa",)
    assert re.fullmatch("erased-[0-9a-f]{8}", rows[1][0])
    assert re.fullmatch("erased-[0-9a-f]{8} e João Costa", rows[2][0])
    sql(ctx, "DELETE FROM site_report")


def test_a_name_that_is_everywhere_and_nowhere(ctx: Context) -> None:
    """JSON's own words and numbers are nobody's name."""
    sql(ctx, 'UPDATE device_twin SET tags = \'{"a": true, "b": 4711, "c": null}\'')
    for name in ("true", "4711", "null", '", "', "}}"):
        with pytest.raises(NotFound):
            service.erase(ctx, ADMIN, [name])


NAME = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=2, max_size=8)
AROUND = st.text(st.sampled_from("aZ09_-. \n\t\"\\/'’nuãé\u0303ßñ田中ก،¿()"), max_size=4)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=NAME, before=AROUND, after=AROUND)
def test_postgresql_and_python_find_the_same(ctx: Context, name: str, before: str, after: str) -> None:
    """And a name by itself is found however it is written: beside it whatever is no letter."""
    if rules.name_problem([name]) is not None:
        return
    found = re.compile(rules.pattern([name]))
    plain = [name, unicodedata.normalize("NFD", name), unicodedata.normalize("NFC", name)]
    values = [before + name + after, *plain, *(f"\n{each}\t" for each in plain)]
    asked = text(
        "SELECT v ~ :pattern FROM unnest(CAST(:values AS text[])) WITH ORDINALITY AS u(v, n) ORDER BY n"
    )
    with ctx.db.session() as session:
        said = list(session.execute(asked, {"pattern": found.pattern, "values": values}).scalars())
    assert said == [found.search(each) is not None for each in values]
    assert all(said[1:]), values


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=6)
    | st.sampled_from(["Ana", "x\nANA", "anax"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["Ana", "ana", "b"]), inner),
    max_leaves=8,
)


@given(JSON)
def test_nothing_else_of_a_document_changes(document: Any) -> None:
    found = re.compile(rules.pattern(["Ana"]))
    left = rules.replaced(document, found, "TOMB")
    assert rules.replaced(left, found, "TOMB") == left, "nothing is left to find"

    def shape(value: Any) -> Any:
        match value:
            case dict():
                return [shape(inner) for inner in value.values()]
            case list():
                return [shape(inner) for inner in value]
            case str():
                return found.sub("TOMB", value)
        return value

    assert shape(left) == shape(document)


@pytest.mark.parametrize("name", ["erased", "ERASED-0A1B2C3D", " erased-0a1b2c3d "])
def test_a_tombstone_is_nobody_s_name(name: str) -> None:
    assert rules.name_problem([name]) is not None
