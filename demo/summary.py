"""The terminal's picture of a running city. Reads a snapshot, decides nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class PostState:
    """One lamppost as its agent and the database tell it. Counts are samples."""

    name: str
    sensor: str
    state: str
    backlog: int
    stored: int
    latest: str
    index: str
    conditions: tuple[str, ...]


@dataclass(frozen=True)
class Snapshot:
    """The city at one moment; `street_ms` is the time on the street's fast clock."""

    posts: tuple[PostState, ...]
    street_ms: float
    speed: float
    running_s: float
    run_for_s: float | None
    dashboard: str
    login: str
    incidents: tuple[str, ...] = ()
    story: tuple[str, ...] = ()


def draw(snapshot: Snapshot) -> Group:
    """The table and the two lines around it."""
    street = datetime.fromtimestamp(snapshot.street_ms / 1000, UTC)
    head = Text.assemble(
        ("Lamppost ", "bold"),
        f"{snapshot.dashboard}   {snapshot.login}\n",
        (f"street time {street:%Y-%m-%d %H:%M} UTC, {snapshot.speed:g} times as fast, ", "dim"),
        (_running(snapshot), "dim"),
    )
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name, right in (
        ("lamppost", False),
        ("sensor", False),
        ("link", False),
        ("waiting", True),
        ("stored", True),
        ("PM2.5\nµg/m³", True),
        ("index", False),
        ("trouble", False),
    ):
        table.add_column(
            name, justify="right" if right else "left", no_wrap=name != "trouble", overflow="fold"
        )
    for post in snapshot.posts:
        table.add_row(
            post.name,
            post.sensor,
            post.state,
            f"{post.backlog:,}",
            f"{post.stored:,}",
            post.latest,
            post.index,
            ", ".join(post.conditions) or "none",
        )
    stored = sum(post.stored for post in snapshot.posts)
    waiting = sum(post.backlog for post in snapshot.posts)
    foot = Text(
        f"{stored:,} samples stored, {waiting:,} waiting on the lampposts. Ctrl-C stops everything.", "dim"
    )
    return Group(head, table, *_happening(snapshot), foot)


def _running(snapshot: Snapshot) -> str:
    if snapshot.running_s < 0:
        return f"{-snapshot.running_s:.0f} s until history is lived through"
    left = "" if snapshot.run_for_s is None else f" of {snapshot.run_for_s:.0f} s"
    return f"running {snapshot.running_s:.0f} s{left}"


def _happening(snapshot: Snapshot) -> list[Text]:
    """The open incidents, then what happens in the street and what comes next."""
    lines = [Text(f"incident  {line}", "bold red") for line in snapshot.incidents]
    return [*lines, *(Text(f"story     {line}") for line in snapshot.story)]


class Summary:
    """Redraws in place on a terminal; elsewhere one line every ten seconds."""

    LINE_EVERY_S = 10.0  # a log that is read afterwards wants few lines

    def __init__(self, quiet: bool) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        self._last_line_s = float("-inf")

    def say(self, text: str) -> None:
        """One line of progress."""
        self._console.print(text, highlight=False, soft_wrap=True)  # whoever shows it knows its width

    def watch(self, next_snapshot: Callable[[], Snapshot | None]) -> None:
        """Draw until `next_snapshot`, which paces the loop, returns None."""
        if not self._console.is_terminal:
            while (snapshot := next_snapshot()) is not None:
                self._line(snapshot)
            return
        with Live(console=self._console, auto_refresh=False, transient=False) as live:
            while (snapshot := next_snapshot()) is not None:
                live.update(draw(snapshot), refresh=True)

    def _line(self, snapshot: Snapshot) -> None:
        if snapshot.running_s - self._last_line_s < self.LINE_EVERY_S:
            return
        self._last_line_s = snapshot.running_s
        stored = sum(post.stored for post in snapshot.posts)
        waiting = sum(post.backlog for post in snapshot.posts)
        online = sum(post.state == "online" for post in snapshot.posts)
        self.say(
            f"{snapshot.running_s:5.0f} s  {online} of {len(snapshot.posts)} online, "
            f"{stored:,} samples stored, {waiting:,} waiting{_told(snapshot)}"
        )


def _told(snapshot: Snapshot) -> str:
    """Incidents and the story, in a line."""
    told = [*(f"incident: {line}" for line in snapshot.incidents), *snapshot.story]
    return "".join(f"; {each}" for each in told)
