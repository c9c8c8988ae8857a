"""A name that is written otherwise is found, told, and neither copied nor erased by itself."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from fleet_server import privacy_cli
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.devices.service import Address
from fleet_server.errors import NotFound
from fleet_server.privacy import service, spellings
from fleet_server.twin import service as twin
from tests.support.server_context import ADMIN

JOSE = "alvares jose"
# (how it is written, what is asked for, the spelling that is told; "": none)
WRITTEN = [
    ("José Álvares", JOSE, "José Álvares"),
    (
        unicodedata.normalize("NFD", "told José Álvares so"),
        JOSE,
        unicodedata.normalize("NFD", "José Álvares"),
    ),
    ("the balcony of ÁLVARES, JOSÉ (2nd floor)", JOSE, "ÁLVARES, JOSÉ"),
    ("José Maria dos Álvares", JOSE, "José Maria dos Álvares"),
    ("José M. Álvares' door", JOSE, "José M. Álvares"),
    ("Jose\nAlvares's door", JOSE, "Jose\nAlvares"),
    ("José A. B. C. Álvares", JOSE, ""),  # too much between
    ("José spoke. Álvares heard", JOSE, ""),  # a sentence ends
    ("José; Álvares", JOSE, ""),
    ("José", JOSE, ""),  # all the words
    ("José José", JOSE, ""),
    ("Joséfina Álvares", JOSE, ""),  # whole words
    ("Maria-José Álvares", JOSE, ""),
    ("jose.alvares", JOSE, ""),
    ("Straße Weiß", "weiss strasse", "Straße Weiß"),
    ("Zoë O\u2019Brien", "O'Brien Zoe", "Zoë O\u2019Brien"),
    ("Ξανθή", "ξανθη", "Ξανθή"),
    ("Łukasz", "lukasz", ""),  # a letter of its own
    ("क की", "क क", ""),  # a vowel sign is no accent
]


def test_what_is_the_same_name_written_otherwise() -> None:
    for written, name, told in WRITTEN:
        assert next(spellings.spellings(written, name), "") == told, (written, name)


@given(
    st.text(alphabet="aáàãAÅß sSéêÉ'\u2019-,.ñN\n", max_size=24), st.sampled_from(["ana e", "sa", "o'e ss"])
)
def test_what_python_finds_is_found_by_the_patterns_too(written: str, name: str) -> None:
    """PostgreSQL and Python read them alike (test_wherever_a_name_stands.py)."""
    if any(spellings.spellings(written, name)):
        assert all(re.search(each, written) for each in spellings.likeness(name)), (written, name)


def test_it_is_found_where_it_lies_and_told(
    ctx: Context, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sites = [f"{written} #" for written, _, _ in WRITTEN if written.isprintable()]
    sites.append("José Álvares, or: Alvares Jose")  # both ways in one row
    for number, site in enumerate(sites):
        devices.register(ctx, ADMIN, Address("city", f"site-{number}"), site)
    twin.change_tags(ctx, ADMIN, Address("city", "site-0"), twin.Wish({"owner": "said\nJosé\nÁlvares"}))
    with ctx.db.session() as session:
        session.execute(text("""UPDATE device_twin SET tags_at = '{"José Álvares": "now"}'"""))
        session.execute(
            text(
                "INSERT INTO incident (tenant, kind, state, severity, title, opened_at, first_verdict_at,"
                " last_verdict_at, closed_at, closed_by, acknowledged_by, close_reason, devices, peak_score)"
                " VALUES ('city', 'episode', 'closed', 'minor', 't', now(), now(), now(), now(), 'José', 'x',"
                " '', 1, 0.5), ('city', 'episode', 'closed', 'minor', 't', now(), now(), now(), now(),"
                " 'José Álvares', 'x', '', 1, 0.5)"
            )
        )

    def found(*names: str) -> dict[str, tuple[int, Any]]:
        places = service.find(ctx, ADMIN, names)
        return {f"{each.place.table}.{each.place.column}": (each.rows, each.spelled) for each in places}

    told = found(JOSE)
    assert told["device.site"][0] == 6
    assert set(told["device.site"][1]) == {
        told_ for w, n, told_ in WRITTEN if n == JOSE and w.isprintable()
    } - {""}
    assert told["device_twin.tags"] == (1, ("José\nÁlvares",))
    assert told["device_twin.tags_at"] == (1, ("José Álvares",))
    assert told["incident.closed_by"] == (1, ("José Álvares",))
    assert found("josé")["incident.closed_by"] == (1, ()), "one word is a name's whole value, or another's"
    assert found("jose")["incident.closed_by"] == (1, ("José",))
    assert found("weiss strasse")["device.site"][0] == found("ξανθη")["device.site"][0] == 1
    both = found("José Álvares", JOSE)["device.site"]
    assert both[0] == 6
    assert "José Álvares" not in both[1], "what was asked for is told by no other spelling"
    copied = [row["site"] for place, row in service.export(ctx, ADMIN, [JOSE]) if place == "device.site"]
    assert copied == [sites[-1]], "a copy has what is written as it is asked for"
    with pytest.raises(NotFound, match="privacy find tells how else it is written"):
        service.erase(ctx, ADMIN, ["strasse weiss"])

    file = tmp_path / "server.toml"
    url = ctx.config.database.url
    file.write_text(f'data_dir = "{ctx.config.data_dir}"\n[database]\nurl = "{url}"\n')
    assert privacy_cli.main(["find", JOSE, "--config", str(file), "--json"]) == 0
    assert "ÁLVARES, JOSÉ" in json.loads(capsys.readouterr().out)["spelled"]
    assert privacy_cli.main(["find", JOSE, "--config", str(file)]) == 0
    assert "also written: ÁLVARES, JOSÉ\n" in capsys.readouterr().out
