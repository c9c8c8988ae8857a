"""The plan is a pure function of the seed, meets every kind, and strikes nothing twice at once."""

from __future__ import annotations

import pytest

from tests.chaos.__main__ import main
from tests.chaos.faults import SPECS, Kind, Scope, choose
from tests.chaos.plan import HEAVY, IN_THE_DRAIN, SERVER, plan

POSTS = ("post-01", "post-02", "post-03", "post-04")
SEEDS = range(60)


def test_the_same_seed_gives_the_same_plan_and_another_another() -> None:
    assert plan(7, 5, POSTS) == plan(7, 5, POSTS)
    assert len({plan(seed, 5, POSTS) for seed in SEEDS}) == len(SEEDS)


def test_the_beginning_of_a_longer_run_is_the_shorter_one() -> None:
    short, long = plan(7, 2, POSTS), plan(7, 10, POSTS)
    assert long[: len(short)] == short


@pytest.mark.parametrize("seed", SEEDS)
def test_ten_minutes_meet_every_kind(seed: int) -> None:
    faults = plan(seed, 10, POSTS)
    assert {fault.kind for fault in faults} == set(Kind)
    assert list(faults) == sorted(faults)
    acts = [fault.act for fault in faults]
    assert acts == sorted(acts), "an act begins when the one before is over"
    assert any(sum(other.act == act for other in faults) > 1 for act in set(acts) - {0}), "nothing overlaps"


def test_every_fault_is_within_its_kind() -> None:
    for seed in SEEDS:
        for fault in plan(seed, 5, POSTS):
            spec = SPECS[fault.kind]
            drained = fault.act == 0 and fault.kind is Kind.NET_THROTTLE
            assert drained or spec.lasts_s[0] <= fault.for_s <= spec.lasts_s[1], fault
            assert spec.size[0] <= fault.size <= spec.size[1], fault
            if spec.scope in (Scope.POST, Scope.POST_LINE):
                assert fault.target in POSTS
            elif spec.scope is Scope.CITY:
                assert fault.target == SERVER


def test_the_first_act_strikes_each_part_while_history_drains() -> None:
    for seed in SEEDS:
        first = [fault for fault in plan(seed, 1, POSTS) if fault.act == 0]
        slow = [fault for fault in first if fault.kind is Kind.NET_THROTTLE]
        struck = [fault for fault in first if fault.kind in IN_THE_DRAIN]
        assert sorted(fault.target for fault in slow) == list(POSTS)
        assert sorted(fault.kind for fault in struck) == sorted(IN_THE_DRAIN)
        assert all(fault.at_s < slow[0].until_s for fault in struck)


def test_two_faults_that_would_undo_each_other_do_not_overlap() -> None:
    for seed in SEEDS:
        faults = [fault for fault in plan(seed, 10, POSTS) if fault.act]
        for i, one in enumerate(faults):
            for other in faults[i + 1 :]:
                same = one.target == other.target and one.act == other.act
                part = one.kind.split("-")[0] == other.kind.split("-")[0]
                assert not (same and part) or {one.for_s, other.for_s} == {0.0}, (one, other)
        for act in {fault.act for fault in faults}:
            assert sum(fault.act == act and fault.kind in HEAVY for fault in faults) <= 1


def test_an_ingest_dies_while_the_database_takes_nothing() -> None:
    """What catches an ack that is sent before the commit: by hand, with one that was."""
    faults = [
        fault for seed in SEEDS for fault in plan(seed, 5, POSTS, choose("database-freeze,ingest-kill"))
    ]
    frozen = [fault for fault in faults if fault.kind is Kind.DATABASE_FREEZE]
    killed = [fault.at_s for fault in faults if fault.kind is Kind.INGEST_KILL]
    assert frozen
    assert all(any(still.at_s < at_s < still.until_s for at_s in killed) for still in frozen)


def test_chosen_kinds_are_all_there_is() -> None:
    assert choose("net, agent-kill") == {k for k in Kind if k.startswith("net-")} | {Kind.AGENT_KILL}
    faults = plan(3, 3, POSTS, choose("clock,disk-full"))
    assert {fault.kind for fault in faults} == choose("clock") | {Kind.DISK_FULL}
    assert plan(3, 3, POSTS, ()) == ()


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--only", "weather"], "agent-kill"),
        (["--only", ","], "--list"),
        (["--only", "agent-"], "agent-kill"),
        (["--minutes", "0"], "--minutes 0"),
        (["--minutes", "-3"], "--minutes -3"),
        (["--minutes", "nan"], "--minutes nan"),
        (["--minutes", "1e9"], "at most"),
        (["--report", "/nowhere/at/all.json"], "/nowhere"),
    ],
)
def test_a_wrong_argument_is_one_line(
    arguments: list[str], names: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert names in said
    assert said.count("\n") == 1


def test_the_list_shows_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    said = capsys.readouterr().out
    assert all(kind in said for kind in Kind)
