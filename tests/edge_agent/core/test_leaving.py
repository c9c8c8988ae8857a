"""Nothing leaves that edge_agent/core/allow_list.py does not name: field, key, message, kind of verdict."""

from __future__ import annotations

import typing
from array import array
from types import UnionType
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from air_quality.place import cell_of
from edge_agent.core import allow_list, leaving
from edge_agent.core.allow_list import FIELDS, FINEST_CELL, LEAVES, AsIs, Cell, Each, Keys, OneOf, Words
from edge_agent.core.leaving import coarse, leave, unlisted
from edge_agent.errors import NotAllowedOut
from wire_contract import messages
from wire_contract.channels import ON_DOWN, ON_UP
from wire_contract.classes import Class
from wire_contract.envelope import decode, encode
from wire_contract.messages import (
    Ask,
    CommandReply,
    Condition,
    ConditionBatch,
    Message,
    Presence,
    SampleBatch,
    SampleBlock,
    SensorDeclaration,
    SettingAck,
    SlotDeclaration,
    Tombstone,
    TombstoneReason,
    TwinReported,
    Verdict,
    VerdictBatch,
)
from wire_contract.topics import Up
from wire_contract.verdict_kinds import VerdictKind

EPOCH = bytes(16)
PLACE = "52.516275, 13.377704"
VERDICT = Verdict(5, 1, "episode", 3.0, 0.9, "PM2.5 rises", "rule@1", b"")
CONDITION = Condition(5, "sensor_gone", "front", True, "error", "unplugged", "plug it in")


def presence(**changes: Any) -> Presence:
    return msgspec.structs.replace(Presence(True, 1, 5, EPOCH, "0.1.0", True), **changes)


def out(where: Up | Class, message: Message) -> tuple[Any, list[str]]:
    stayed: list[str] = []
    return decode(leave(where, message, stayed.append)), stayed


# -- the list itself -------------------------------------------------------------------------------------


def structs_in(annotation: object) -> set[type]:
    """The struct types that an annotation speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return {annotation}
    return set().union(*(structs_in(part) for part in get_args(annotation)))


@pytest.mark.parametrize("kind", FIELDS, ids=lambda kind: kind.__name__)
def test_every_field_of_what_leaves_is_listed(kind: type) -> None:
    """Somebody adds a field to a message: it is listed with what it is for, or this fails."""
    hints = get_type_hints(kind)
    assert set(FIELDS[kind]) == set(hints)
    assert unlisted(kind) == frozenset()
    for name, annotation in hints.items():
        rule = FIELDS[kind][name]
        held = structs_in(annotation)
        assert held == ({rule.of} if isinstance(rule, Each) else set()), f"{name}: Each for what has fields"
        is_map = typing.get_origin(annotation) is dict
        assert is_map == isinstance(rule, Keys), f"{name}: a map's keys are listed"


@pytest.mark.parametrize("kind", FIELDS, ids=lambda kind: kind.__name__)
def test_text_for_people_is_looked_at(kind: type) -> None:
    for name, annotation in get_type_hints(kind, include_extras=True).items():
        if annotation is messages.Text:
            assert isinstance(FIELDS[kind][name], Words), name


def test_every_message_of_the_wire_is_listed_or_is_the_servers() -> None:
    """Somebody adds a message: it is listed for its channel, or is the server's, or this fails."""
    assert isinstance(Message, UnionType)
    down = {kind for kinds in ON_DOWN.values() for kind in kinds}
    assert set().union(*LEAVES.values()) | down == set(get_args(Message))
    assert set(LEAVES) == set(Up)
    for channel, kinds in LEAVES.items():
        assert kinds <= set(ON_UP[channel])
        assert set(ON_UP[channel]) - kinds <= {Tombstone}, "never-drop classes are never given up"
    reachable = set().union(*LEAVES.values())
    held = {rule.of for rules in FIELDS.values() for rule in rules.values() if isinstance(rule, Each)}
    assert set(FIELDS) == reachable | held


def test_nothing_listed_is_a_place() -> None:
    maps = [rule for rules in FIELDS.values() for rule in rules.values() if isinstance(rule, Keys)]
    keys = [key for rule in maps for key in rule.rules]
    fields = [name for rules in FIELDS.values() for name in rules]
    for name in [*keys, *fields]:
        assert not {"latitude", "longitude", "lat", "lon", "place", "position", "address"} & set(
            name.split("_")
        )


def test_every_entry_says_what_it_is_for() -> None:
    for rules in FIELDS.values():
        for rule in rules.values():
            assert rule.why
            if isinstance(rule, Keys):
                assert all(each.why for each in rule.rules.values())


# -- what passes, unchanged ------------------------------------------------------------------------------

ORDINARY: list[tuple[Up | Class, Message]] = [
    (Class.ALARM, VerdictBatch((VERDICT,))),
    (
        Class.REPLY,
        SensorDeclaration(1, "sds011", "58d9", "front", (SlotDeclaration("pm2_5", "ug/m3", -1),), 5),
    ),
    (Class.REPLY, CommandReply("c1", True, "pong", 5)),
    (
        Class.REPLY,
        CommandReply("c1", False, "no", 5, messages.CommandOutcome.FAILED, {"sensor.front": "silent"}),
    ),
    (Class.REPLY, messages.FilePiece("c1", "log.tar.zst", 0, 3, bytes(32), b"abc")),
    (Class.LIVE, SampleBatch((SampleBlock(1, (0,), [5], ([7],), [1]),))),
    (Class.HISTORY, Tombstone(1, 2, TombstoneReason.EXPIRED, 3, 4, 5)),
    (Class.DIAGNOSTIC, ConditionBatch((CONDITION,))),
    (Up.PRESENCE, presence(conditions=(CONDITION,), settings={"cell": "u33db2"}, backlog={"live": 3})),
    (Up.ASK, Ask(EPOCH, (0, 1, 2))),
    (
        Up.TWIN,
        TwinReported(
            1,
            1,
            {"telemetry.flush_interval_s": 5.0, "sensor.front.every_s": 30, "agent.version": "1.2"},
            (SettingAck("x", "y", 404, 1, "there is no such setting here"),),
        ),
    ),
    (Up.CERTIFICATE, messages.CertificateRequest(b"csr")),
]


@pytest.mark.parametrize(("where", "message"), ORDINARY, ids=lambda each: type(each).__name__)
def test_what_is_listed_leaves_as_it_is(where: Up | Class, message: Message) -> None:
    stayed: list[str] = []
    assert leave(where, message, stayed.append) == encode(message)
    assert stayed == []


def test_every_channel_has_an_ordinary_message_here() -> None:
    assert {type(message) for _, message in ORDINARY} == set().union(*LEAVES.values())


# -- what stays ------------------------------------------------------------------------------------------


def test_a_settings_key_that_is_not_listed_stays_and_the_rest_leaves() -> None:
    said, stayed = out(Up.PRESENCE, presence(settings={"sensors": "front: sds011", "latitude": "52.516275"}))
    assert said.settings == {"sensors": "front: sds011"}
    assert stayed == ["Presence.settings[latitude]"]


@pytest.mark.parametrize("cell", ["u33db2m", "U33DB2", "Hauptstrasse 5", "", "52.5"])
def test_a_cell_that_is_too_fine_or_none_stays(cell: str) -> None:
    said, stayed = out(Up.PRESENCE, presence(settings={"cell": cell}))
    assert said.settings == {}
    assert stayed == ["Presence.settings[cell]"]


@given(st.floats(-90, 90), st.floats(-180, 180), st.integers(1, FINEST_CELL))
def test_every_public_cell_leaves(latitude: float, longitude: float, precision: int) -> None:
    cell = cell_of(latitude, longitude, precision)
    said, stayed = out(Up.PRESENCE, presence(settings={"cell": cell}))
    assert (said.settings, stayed) == ({"cell": cell}, [])


def test_a_backlog_or_a_twin_key_that_is_not_listed_stays() -> None:
    said, stayed = out(Up.PRESENCE, presence(backlog={"live": 3, "photographs": 4}))
    assert (said.backlog, stayed) == ({"live": 3}, ["Presence.backlog[photographs]"])
    refused = SettingAck("x", 1, 400, 1, "not at 52.516275, 13.377704")
    told, stayed = out(
        Up.TWIN, TwinReported(1, 1, {"device.latitude": 52.5, "log.level": "info"}, (refused,))
    )
    assert (told.document, stayed) == ({"log.level": "info"}, ["TwinReported.document[device.latitude]"])
    assert told.acks is not None
    assert "52.516" not in told.acks[0].ad


def test_a_kind_of_verdict_that_is_not_listed_stays_and_the_others_leave() -> None:
    face = msgspec.structs.replace(VERDICT, kind="face")
    said, stayed = out(Class.ALARM, VerdictBatch((VERDICT, face)))
    assert said == VerdictBatch((VERDICT,))
    assert stayed == ["Verdict.kind"]
    with pytest.raises(NotAllowedOut, match="nothing of it is listed"):
        leave(Class.ALARM, VerdictBatch((face,)))
    rule = FIELDS[Verdict]["kind"]
    assert isinstance(rule, OneOf)
    assert rule.values == set(VerdictKind)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (Class.LIVE, VerdictBatch((VERDICT,))),
        (Class.ALARM, ORDINARY[3][1]),
        (Class.ALARM, ORDINARY[4][1]),
        (Up.ASK, presence()),
        (Up.PRESENCE, Ask(EPOCH, ())),
        (Up.ASK, messages.Ack(EPOCH, 0, 0)),
    ],
)
def test_a_message_on_another_channel_is_refused(where: Up | Class, message: Message) -> None:
    with pytest.raises(NotAllowedOut, match="is not listed for"):
        leave(where, message)


def test_a_new_message_and_a_new_field_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Photograph(msgspec.Struct, frozen=True, array_like=True, tag="F"):
        pixels: bytes

    class WiderPresence(Presence, frozen=True, array_like=True, tag="P"):
        place: str = PLACE

    class WiderVerdict(Verdict, frozen=True, array_like=True):
        who: str = "somebody"

    new: Any = Photograph(b"x")
    with pytest.raises(NotAllowedOut, match="Photograph is not listed"):
        leave(Up.PRESENCE, new)
    monkeypatch.setattr(leaving, "LEAVES", {**LEAVES, Up.PRESENCE: {WiderPresence}})
    with pytest.raises(NotAllowedOut, match=r"WiderPresence\.place"):
        leave(Up.PRESENCE, WiderPresence(True, 1, 5, EPOCH, "0.1.0", True))
    fields = {**FIELDS, WiderPresence: {**FIELDS[Presence], "place": AsIs("no")}}
    monkeypatch.setattr(leaving, "FIELDS", {**fields, VerdictBatch: {"verdicts": Each(WiderVerdict, "no")}})
    leaving.unlisted.cache_clear()
    try:
        assert "WiderVerdict.who" in unlisted(VerdictBatch)
        assert unlisted(WiderPresence) == frozenset()
    finally:
        leaving.unlisted.cache_clear()


# -- coordinates in words --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("at 52.516275, 13.377704.", "at 52.…, 13.…."),
        ("52.516275,13.377704", "52.…,13.…"),
        ("lat=-33.86882 lon=151.20930", "lat=-33.… lon=151.…"),
        ("52,516275 13,377704", "52,… 13,…".replace(",", ".")),
        ("52.516N 13.377E", "52.…N 13.…E"),
        ("""52°30'58.6"N 13°22'39.7"E""", "52°…N 13°…E"),
        ("52° 30.9765' N", "52°… N"),
        ("52º30′58″, 13º22′40″", "52°…, 13°…"),
        ("52.516275.13.377704 x1.52.516275", "52.….13.… x1.52.…"),
        ("52·516275 52\uff0e516275 52\u066b516275", "52.… 52.… 52.…"),
        ("9F4MG98H+GQ and G98H+GQ7 Berlin", "9F4M+… and G98H+… Berlin"),
        ("21 °C, 3.5 °C; it's 5' away; CO2+PM10", "21 °C, 3.5 °C; it's 5' away; CO2+PM10"),
        ("no broker at 192.168.100.12:8883", "no broker at 192.168.100.12:8883"),
        ("12.25 days; 1,234 samples; version 2.10.104", "12.25 days; 1,234 samples; version 2.10.104"),
        ("PM2.5 rose from 8.1 to 95.4 ug/m3", "PM2.5 rose from 8.1 to 95.4 ug/m3"),
        ("1795000000000 ms", "1795000000000 ms"),
        ("", ""),
    ],
)  # fmt: skip
def test_coordinates_lose_their_fraction_and_other_numbers_do_not(text: str, said: str) -> None:
    assert coarse(text) == said


@given(
    st.floats(-90, 90), st.floats(-180, 180), st.integers(4, 9), st.sampled_from([", ", ",", " ", ";", "/"])
)
def test_no_written_place_leaves(latitude: float, longitude: float, digits: int, between: str) -> None:
    written = f"{latitude:.{digits}f}{between}{longitude:.{digits}f}"
    said = coarse(f"cannot parse {written} here")
    assert f"{abs(latitude):.{digits}f}" not in said
    assert f"{abs(longitude):.{digits}f}" not in said


def test_words_are_cut_wherever_they_stand() -> None:
    condition = msgspec.structs.replace(CONDITION, subject=PLACE, detail=f"x {PLACE}", remedy=PLACE)
    cut = msgspec.structs.replace(CONDITION, subject="52.…, 13.…", detail="x 52.…, 13.…", remedy="52.…, 13.…")
    said, stayed = out(Up.PRESENCE, presence(conditions=(condition,), settings={"sensors": PLACE}))
    assert said == presence(conditions=(cut,), settings={"sensors": "52.…, 13.…"})
    assert stayed == [], "cutting is no fault"
    verdict = msgspec.structs.replace(VERDICT, reason=PLACE)
    assert out(Class.ALARM, VerdictBatch((verdict,)))[0].verdicts[0].reason == "52.…, 13.…"
    assert out(Class.REPLY, CommandReply("c", False, PLACE, 5))[0].detail == "52.…, 13.…"
    told = SensorDeclaration(1, "sds011", "", PLACE, (SlotDeclaration("pm2_5", "", 0),), 5)
    assert out(Class.REPLY, told)[0].site == "52.…, 13.…"
    numbered = msgspec.structs.replace(told, serial=PLACE)  # an operator types it where the kind tells none
    assert out(Class.REPLY, numbered)[0].serial == "52.…, 13.…"


def test_samples_are_not_touched_on_their_way() -> None:
    """A batch is final and large: the rules of its fields ask for no look at its values."""
    times = array("q", range(500))
    batch = SampleBatch((SampleBlock(1, (0,), times.tolist(), (list(range(500)),), [1] * 500),))
    assert leaving._to_look_at(SampleBatch) == ()
    assert leave(Class.LIVE, batch) == encode(batch)


def test_the_kinds_of_rule_are_these() -> None:
    assert set(get_args(allow_list.Rule)) == {AsIs, Words, Cell, OneOf, Each, Keys}
