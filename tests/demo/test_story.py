"""What is planted, and how what the city found is held against it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from demo.findings import Fault, Findings, Incident
from demo.layout import KINDS, Layout, Post
from demo.outcome import judge, of_half_a_story
from demo.places import CENTRE, place
from demo.plan import write_sensor_plan
from demo.ports import Ports
from demo.settings import DemoSettings
from demo.story import ENDS_S, Story, tell
from firmware_bridge.emulator.plan import load_plan
from fleet_server.decisions.rules import distance_m
from wire_contract.verdict_kinds import FaultCode

ZERO_MS = 1_790_000_000_000
MINUTE_MS = 60_000


def posts(count: int, root: Path = Path("/none")) -> list[Post]:
    return [Post(f"post-{i + 1:02d}", KINDS[i % len(KINDS)], root / str(i), place(i)) for i in range(count)]


STORY = tell(posts(6), ZERO_MS)


def incident(number: int = 1, minute: float = 65, *names: str, merged_into: int | None = None) -> Incident:
    """Opened two minutes after its first verdict, `minute` after the link was back."""
    first = ZERO_MS + minute * MINUTE_MS
    return Incident(
        number,
        first + 2 * MINUTE_MS,
        first,
        first,
        frozenset(names or {"post-01"}),
        merged_into=merged_into,
    )


def fault(post: str, code: FaultCode, minute: float) -> Fault:
    return Fault(post, code, ZERO_MS + minute * MINUTE_MS)


STUCK = fault("post-05", FaultCode.FLAT_LINE, 66)
FOG = fault("post-04", FaultCode.HUMIDITY_SWELL, 75)


def test_lampposts_stand_400_m_apart_in_one_city() -> None:
    places = [place(i) for i in range(50)]
    assert len({(p.latitude, p.longitude) for p in places}) == len({p.site for p in places}) == 50
    here, east, north = places[0], places[1], places[3]
    for other in (east, north):
        apart = distance_m((here.latitude, here.longitude), (other.latitude, other.longitude))
        assert apart == pytest.approx(400, abs=2)
    assert (here.latitude, here.longitude) == CENTRE
    assert east.longitude > here.longitude
    assert north.latitude > here.latitude


def test_the_story_of_six_lampposts() -> None:
    assert [crossing.post for crossing in STORY.crossings] == ["post-01", "post-02", "post-03"]
    assert [(c.from_ms - ZERO_MS) / 1000 for c in STORY.crossings] == [3600, 3800, 4000]
    planted = {(f.post, f.code) for f in STORY.faults}
    assert planted == {("post-05", FaultCode.FLAT_LINE), ("post-04", FaultCode.HUMIDITY_SWELL)}
    assert all(f.from_ms < ZERO_MS + ENDS_S * 1000 < f.until_ms for f in STORY.faults)


@pytest.mark.parametrize(
    ("count", "crossed", "faults"), [(1, 1, 0), (2, 2, 0), (3, 3, 0), (4, 3, 1), (5, 3, 2), (50, 3, 2)]
)
def test_a_story_takes_the_room_that_there_is(count: int, crossed: int, faults: int) -> None:
    story = tell(posts(count), ZERO_MS)
    assert (len(story.crossings), len(story.faults)) == (crossed, faults)
    assert not story.crossed & {f.post for f in story.faults}


def test_people_are_told_what_comes_and_what_goes_on() -> None:
    def at(minute: float) -> tuple[str, ...]:
        return STORY.lines(ZERO_MS + minute * MINUTE_MS, 60)

    assert at(0) == ("in 50 s at Ring Road a sensor gets stuck",)
    assert at(57) == (
        "Ring Road: a stuck sensor says the same again and again",
        "School Road: fog, and a sensor that takes water for dust",
        "in 3 s a plume enters at Harbour Street",
    )
    assert "a plume is over Harbour Street" in at(62)
    assert "in 1 s a plume enters at Mill Lane" in at(62)
    assert at(600) == ()


def test_the_emulator_plays_what_is_planned(tmp_path: Path) -> None:
    """The file is one that the emulator takes, with the plume over three lampposts and past the others."""
    with (tmp_path / "lock").open("w") as lock:
        layout = Layout(tmp_path, {}, tuple(posts(6, tmp_path)), lock, Ports({}, ()))
        settings = DemoSettings(tmp_path, story=True)
        write_sensor_plan(layout, settings, ZERO_MS, STORY)
    load_plan(layout.plan)
    plan = json.loads(layout.plan.read_text())
    assert [len(unit["faults"]) for unit in plan["units"]] == [0, 0, 0, 1, 1, 0]
    scenes = {unit["scene"]["utc_offset_h"] for unit in plan["units"]}
    assert len(scenes) == 1
    strengths = [
        STORY.plume.strength(post.place.position, STORY.onset_ms + 15 * MINUTE_MS) for post in layout.posts
    ]
    assert min(strengths[:3]) > 100
    assert max(strengths[3:]) < 0.1


def test_an_episode_found_in_time_and_both_faults() -> None:
    found = Findings((incident(1, 64, "post-01", "post-02"),), (STUCK, FOG, STUCK))
    outcome = judge(STORY, found)
    assert (outcome.incidents, outcome.episode_incidents, outcome.false_incidents) == (1, 1, 0)
    assert outcome.episode_detect_s == 6 * 60
    assert (outcome.episode_posts, outcome.crossed_posts, outcome.stray_posts) == (2, 3, 0)
    assert (outcome.faults_planted, outcome.faults_found, outcome.false_faults) == (2, 2, 0)
    assert all(reached for _words, reached in outcome.bars())


def test_what_the_plume_does_not_explain_is_false() -> None:
    before, elsewhere = incident(1, -300, "post-02"), incident(2, 70, "post-06")
    outcome = judge(STORY, Findings((before, elsewhere, incident(3, 80, "post-03", "post-06"))))
    assert (outcome.incidents, outcome.false_incidents, outcome.episode_incidents) == (3, 2, 1)
    assert outcome.stray_posts == 1
    assert [reached for _words, reached in outcome.bars()] == [False, True, False, False]


def test_what_became_a_part_of_another_counts_with_it_and_by_its_opening() -> None:
    found = Findings((incident(1, 64), incident(2, 62, "post-02", merged_into=1)))
    outcome = judge(STORY, found)
    assert (outcome.incidents, outcome.episode_incidents, outcome.episode_detect_s) == (1, 1, 240.0)


def test_a_fault_counts_where_and_as_what_it_was_planted() -> None:
    wrong_place = fault("post-06", FaultCode.FLAT_LINE, 66)
    wrong_name = fault("post-04", FaultCode.SPIKE, 75)
    too_soon = fault("post-05", FaultCode.FLAT_LINE, 49)
    outcome = judge(STORY, Findings(faults=(wrong_place, wrong_name, too_soon)))
    assert (outcome.faults_found, outcome.false_faults) == (0, 3)


def test_a_missed_episode_is_told() -> None:
    outcome = judge(STORY, Findings())
    assert (outcome.episode_detect_s, outcome.episode_incidents) == (None, 0)
    assert ("opened never (bar 600 s)", False) in outcome.bars()


def test_without_a_story_or_with_half_of_one_every_incident_is_false() -> None:
    assert judge(None, Findings((incident(),), (STUCK,))).false_incidents == 1
    half = of_half_a_story(judge(STORY, Findings((incident(1, -10),), ())))
    assert (half.false_incidents, half.episode_incidents, half.faults_found) == (1, None, None)
    assert [words for words, _reached in half.bars()] == ["false incidents: 1 (bar 0)"]
    assert judge(replace_faults(STORY), Findings()).faults_planted == 0


def replace_faults(story: Story) -> Story:
    return replace(story, faults=())
