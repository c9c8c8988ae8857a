"""What the tool decides: the states of work, their order, cards, hosts, names."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from provisioning.technician import rules
from provisioning.technician.rules import BOOT_FILES, CardFacts, Event, State, Waiting
from wire_contract.errors import InvalidName

W, S, C, D = State.WAITING, State.SENT, State.CONFLICT, State.DROPPED
# state -> for each event in the order of Event; None: refused
EXPECTED: dict[State, list[State | None]] = {
    W: [S, W, W, W, C, None, D],
    S: [None] * 7,
    C: [None, None, None, None, None, W, D],
    D: [None] * 7,
}


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_every_pair_of_the_table(state: State, event: Event) -> None:
    assert rules.step(state, event) is EXPECTED[state][list(Event).index(event)]


def test_the_diagram_has_every_change() -> None:
    assert rules.diagram().count("-->") == 3 + sum(a is not b for (a, _), b in rules.TABLE.items())


@pytest.mark.parametrize(
    ("status", "kind", "event"),
    [
        (200, "", Event.TAKEN),
        (201, "", Event.TAKEN),
        (400, "", Event.REFUSED),
        (401, "not-authenticated", Event.STOP),
        (403, "forbidden", Event.REFUSED),
        (404, "not-found", Event.REFUSED),
        (409, "conflict", Event.REFUSED),
        (409, "second-person-needed", Event.SECOND),
        (202, "second-person-needed", Event.SECOND),
        (422, "", Event.REFUSED),
        (429, "", Event.LATER),
        (500, "", Event.LATER),
        (503, "", Event.LATER),
    ],
)
def test_what_an_answer_means(status: int, kind: str, event: Event) -> None:
    assert rules.event_of(status, kind) is event


def test_what_was_done_at_one_lamppost_keeps_its_order_and_holds_up_no_other() -> None:
    work = [Waiting("a", "c/1", C), Waiting("b", "c/1", W), Waiting("d", "c/2", W), Waiting("e", "c/2", W)]
    found = rules.sendable(work)
    assert found is not None
    assert found.id == "d"
    held = rules.sendable(work, held=["d"])
    assert held is None, "b stands behind a conflict, e behind d"
    assert rules.sendable([replace(work[0], state=S), *work[1:]]) == work[1]


END = Waiting("z", "c/1", W, ends=True)


@pytest.mark.parametrize(
    ("work", "held", "sent", "in_the_way"),
    [
        ([Waiting("a", "c/1", C), END], (), "z", None),
        ([Waiting("a", "c/1", C), Waiting("b", "c/1", W), END], (), "z", None),
        ([Waiting("a", "c/1", W), END], (), "a", None),
        ([Waiting("a", "c/1", C), Waiting("b", "c/1", W), END], ("b",), None, "b"),
        ([Waiting("b", "c/1", W), END], ("b",), None, "b"),
        ([Waiting("a", "c/1", C), END], ("z",), None, None),
        ([Waiting("a", "c/1", C), Waiting("z", "c/1", W)], (), None, "a"),
        ([Waiting("a", "c/1", C), Waiting("b", "c/1", C), Waiting("z", "c/1", W)], (), None, "a"),
        ([Waiting("a", "c/2", C), Waiting("z", "c/1", W)], (), "z", None),
        ([replace(END, state=C), Waiting("b", "c/1", W)], (), None, None),
        ([END, Waiting("b", "c/1", W)], ("z",), None, None),
    ],
)
def test_a_lamppost_is_shut_out_whatever_was_refused_before(
    work: list[Waiting], held: tuple[str, ...], sent: str | None, in_the_way: str | None
) -> None:
    found, way = rules.sendable(work, held), rules.in_the_way(work, "z", held)
    assert (found and found.id, way and way.id) == (sent, in_the_way)


@pytest.mark.parametrize(
    ("said", "sudo", "told"),
    [
        ("cat: /x: No such file or directory", False, "--config FILE"),
        ("cat: /x: No such file or directory", True, "--config FILE"),
        ("cat: /x: Is a directory", False, "--config FILE"),
        ("cat: /x: Permission denied", False, "Give --sudo"),
        ("cat: /x: Permission denied", True, ""),
        ("sudo: a password is required", True, "sudo asks for a password"),
        ("cat: /x: Input/output error", False, ""),
        ("", False, ""),
    ],
)
def test_what_to_do_about_a_file_there(said: str, sudo: bool, told: str) -> None:
    found = rules.file_remedy(said, sudo=sudo)
    assert told in found
    assert bool(told) == bool(found)


GOOD = CardFacts(True, "vfat", frozenset({*BOOT_FILES, "kernel8.img"}), True, False, 10**8)


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        (GOOD, None),
        (replace(GOOD, is_mount_point=False), "nothing is mounted"),
        (replace(GOOD, of_this_system=True), "this computer boots"),
        (replace(GOOD, filesystem="ext4"), "ext4"),
        (replace(GOOD, names=frozenset({"config.txt"})), "no cmdline.txt"),
        (replace(GOOD, writable=False), "cannot be written"),
        (replace(GOOD, free_bytes=10), "10 bytes left"),
    ],
)
def test_what_is_no_card(facts: CardFacts, told: str | None) -> None:
    problem = rules.card_problem(facts, 1000)
    assert (problem is None) if told is None else (problem is not None and told in problem[0] and problem[1])


@pytest.mark.parametrize(
    ("host", "good"),
    [
        ("10.0.0.7", True),
        ("pi@lamp-07.local", True),
        ("-oProxyCommand=sh", False),
        ("pi@-oX", False),
        ("a b", False),
        ("a;b", False),
        ("", False),
        ("@x", False),
    ],
)
def test_a_host_is_no_option_of_ssh(host: str, good: bool) -> None:
    assert (rules.host_problem(host) is None) is good


def test_names() -> None:
    assert str(rules.address_of("lamp-07", "porto")) == "porto/lamp-07"
    assert str(rules.address_of("gaia/lamp-07", "porto")) == "gaia/lamp-07"
    for name in ("", "Lamp", "a/b/c", "../x", "x" * 64, f"{'a' * 40}/{'b' * 40}", "a/"):
        with pytest.raises(InvalidName):
            rules.address_of(name, "porto")
