"""What the city found, held against what was planted. Pure; street time throughout."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from demo.findings import Fault, Findings, Incident
from demo.story import PlantedFault, Story

DETECT_BAR_S = 600.0  # an episode is an incident within ten minutes of its onset


@dataclass(frozen=True)
class Outcome:
    """Counts of a run. None: nothing was planted, or the run ended too soon.

    `incidents`: those that stand at the end; what became a part of another counts with it.
    `episode_detect_s`: from the plume's onset at its first lamppost to the opening of the first incident that
    names a lamppost of it. `episode_incidents`: how many incidents the one episode is. `false_incidents`:
    those that the episode does not explain. `episode_posts` of `crossed_posts` are in the episode's
    incidents; `stray_posts` are in them, and the plume never met them. `faults_found`: planted faults that
    their lamppost called by their name; `false_faults`: (lamppost, fault) that nobody planted.
    """

    incidents: int
    false_incidents: int
    episode_detect_s: float | None
    episode_incidents: int | None
    episode_posts: int | None
    crossed_posts: int | None
    stray_posts: int | None
    faults_planted: int | None
    faults_found: int | None
    false_faults: int

    def bars(self) -> tuple[tuple[str, bool], ...]:
        """Each bar in words, and whether it was reached. The episode's only where one was planted."""
        bars = [(f"false incidents: {self.false_incidents} (bar 0)", self.false_incidents == 0)]
        if self.episode_incidents is not None:
            count = self.episode_incidents
            one = f"the episode is {count} incident{'s' * (count != 1)} (bar 1)"
            seconds = self.episode_detect_s
            late = "never" if seconds is None else f"{seconds:.0f} s after its onset"
            bars += [
                (one, count == 1),
                (
                    f"opened {late} (bar {DETECT_BAR_S:.0f} s)",
                    seconds is not None and seconds <= DETECT_BAR_S,
                ),
                (
                    f"planted faults found: {self.faults_found} of {self.faults_planted}",
                    self.faults_found == self.faults_planted,
                ),
            ]
        return tuple(bars)


def judge(story: Story | None, found: Findings) -> Outcome:
    """Hold the findings against the story; without one every incident is false."""
    standing = [incident for incident in found.incidents if incident.merged_into is None]
    if story is None:
        return Outcome(
            incidents=len(standing),
            false_incidents=len(standing),
            episode_detect_s=None,
            episode_incidents=None,
            episode_posts=None,
            crossed_posts=None,
            stray_posts=None,
            faults_planted=None,
            faults_found=None,
            false_faults=len({(fault.post, fault.code) for fault in found.faults}),
        )
    mine = [incident for incident in found.incidents if _is_the_episode(incident, story)]
    named = frozenset[str]().union(*(incident.posts for incident in mine))
    opened = [incident.opened_ms for incident in mine]
    return Outcome(
        incidents=len(standing),
        false_incidents=sum(not _is_the_episode(incident, story) for incident in standing),
        episode_detect_s=round((min(opened) - story.onset_ms) / 1000, 1) if opened else None,
        episode_incidents=sum(incident.merged_into is None for incident in mine),
        episode_posts=len(named & story.crossed),
        crossed_posts=len(story.crossed),
        stray_posts=len(named - story.crossed),
        faults_planted=len(story.faults),
        faults_found=sum(any(_names(fault, planted) for fault in found.faults) for planted in story.faults),
        false_faults=_false_faults(story.faults, found.faults),
    )


def of_half_a_story(outcome: Outcome) -> Outcome:
    """Of a run that ended before its story: what was false is false, what was not found says nothing."""
    return replace(
        outcome,
        episode_detect_s=None,
        episode_incidents=None,
        episode_posts=None,
        crossed_posts=None,
        stray_posts=None,
        faults_planted=None,
        faults_found=None,
    )


def _is_the_episode(incident: Incident, story: Story) -> bool:
    """It names a lamppost that the plume met, and began while the plume was in the city."""
    return bool(incident.posts & story.crossed) and (
        story.onset_ms <= incident.first_verdict_ms <= story.over_ms
    )


def _names(fault: Fault, planted: PlantedFault) -> bool:
    """A window of an hour may still show what has just ended; nothing shows what has not begun."""
    late_ms = planted.until_ms + 3_600_000
    return (fault.post, fault.code) == (planted.post, planted.code) and (
        planted.from_ms <= fault.time_ms <= late_ms
    )


def _false_faults(planted: Iterable[PlantedFault], found: Iterable[Fault]) -> int:
    planted = tuple(planted)
    return len({(f.post, f.code) for f in found if not any(_names(f, each) for each in planted)})
