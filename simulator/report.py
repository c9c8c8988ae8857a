"""What a run came to: for people in a few lines, for programs as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from simulator.settings import Settings
from simulator.tally import Tally


@dataclass(frozen=True)
class Report:
    """Samples (one sensor unit at one instant) of all lampposts, from their spools' own counts.

    taken: given by the sensors in this run. left: waited in the spools before it. acked: the server told that
    it has committed them. shed: given up by the spool's policy, each named in a tombstone. waiting: still in
    the spools. lost: in none of these; 0, or the agent is broken. complete: all of taken and left is acked.
    latency_ms: from first sent to acked, wall clock; upper bounds, 5 % apart. None: nothing was acked.
    messages, resent: sent for the first time, and again. lost_connections: ended without our wish.
    failed_connects: that did not get through TLS. handshakes_most: TLS handshakes in the busiest second.
    behind_s: how late a process was with what was due, at worst in the last second: it lacks processor.
    """

    lampposts: int
    processes: int
    ran_s: float
    taken: int
    left: int
    acked: int
    shed: int
    waiting: int
    lost: int
    complete: bool
    messages: int
    resent: int
    lost_connections: int
    failed_connects: int
    handshakes: int
    handshakes_most: int
    latency_ms: dict[str, float | None]
    behind_s: float
    troubled: int

    @property
    def text(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"


def report(settings: Settings, tally: Tally, outcomes: Sequence[dict[str, Any]], ran_s: float) -> Report:
    """Add it all up. `outcomes`: of each lamppost, as the processes told them."""
    sums = {
        name: sum(each[name] for each in outcomes) for name in ("samples", "left", "acked", "shed", "waiting")
    }
    lost = sums["samples"] + sums["left"] - sums["acked"] - sums["shed"] - sums["waiting"]
    missing = settings.devices - len(outcomes)
    return Report(
        lampposts=len(outcomes),
        processes=min(settings.processes, settings.devices),
        ran_s=round(ran_s, 1),
        taken=sums["samples"],
        left=sums["left"],
        acked=sums["acked"],
        shed=sums["shed"],
        waiting=sums["waiting"],
        lost=lost,
        complete=sums["acked"] == sums["samples"] + sums["left"],
        messages=tally.sent_messages,
        resent=tally.resent_messages,
        lost_connections=tally.lost_connections,
        failed_connects=tally.failed_connects,
        handshakes=tally.handshakes.total(),
        handshakes_most=max(tally.handshakes.values(), default=0),
        latency_ms={
            "p50": tally.latency.percentile_ms(0.5),
            "p95": tally.latency.percentile_ms(0.95),
            "p99": tally.latency.percentile_ms(0.99),
            "most": tally.latency.percentile_ms(1.0),
        },
        behind_s=round(tally.behind_s, 3),
        troubled=missing + sum(1 for each in outcomes if each["samples"] + each["left"] != each["acked"]),
    )


def lines(made: Report, outcomes: Sequence[dict[str, Any]]) -> list[str]:
    """For people; what was not acked is named, the first few lampposts of it."""
    latency = made.latency_ms
    found = [
        f"{made.lampposts} lampposts for {made.ran_s:.0f} s: {made.taken} samples taken"
        + (f", {made.left} left from before" if made.left else ""),
        f"  acked {made.acked}, waiting {made.waiting}, shed {made.shed}, lost {made.lost}",
        f"  {made.messages} messages, {made.resent} sent again; sent to acked "
        + (
            f"p50 {latency['p50']:g} ms, p95 {latency['p95']:g} ms, p99 {latency['p99']:g} ms"
            if latency["p50"] is not None
            else "never"
        ),
        f"  {made.handshakes} handshakes, {made.handshakes_most} in the busiest second; "
        f"{made.lost_connections} connections lost, {made.failed_connects} failed",
    ]
    if made.complete and not made.troubled:
        return [*found, "everything that was spooled is acked"]
    behind = [each for each in outcomes if each["samples"] + each["left"] != each["acked"]]
    for each in behind[:5]:
        found.append(
            f"  {each['name']}: {each['samples'] + each['left']} spooled, {each['acked']} acked,"
            f" {each['waiting']} waiting, {each['shed']} shed"
        )
    if behind[5:]:
        found.append(f"  and {len(behind) - 5} more")
    return [*found, f"NOT everything is acked, at {made.troubled} lampposts"]


def write_ledger(file: Path, outcomes: Sequence[dict[str, Any]]) -> None:
    """One JSON line a lamppost: what its sensors gave, as sums that can be held against the database."""
    with file.open("w", encoding="utf-8") as out:
        for each in outcomes:
            kept = {name: each[name] for name in ("name", "epoch", "samples", "times_ms", "values", "acked")}
            out.write(json.dumps(kept) + "\n")
