"""Every state machine of the agent is complete: each (state, event) pair is ruled or refused, none both."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest

from edge_agent.core import faulting, link, sensing, spool_policy, watching
from edge_agent.core.link_moves import Event, Signal
from edge_agent.core.machine import RefusedEvent, Table

MODULES = {
    "faulting": faulting,
    "link": link,
    "sensing": sensing,
    "spool_policy": spool_policy,
    "watching": watching,
}


@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_every_pair_is_ruled_or_refused(module: Any) -> None:
    table: Table[Any, Any, Any, Any, Any] = module.TABLE
    assert table.unlisted() == set()
    assert table.contradictions() == set()


@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_power_loss_and_time_out_are_among_the_events(module: Any) -> None:
    words = {signal.name for signal in module.TABLE.signals}
    assert {"POWER_LOST", "TIMED_OUT"} <= words
    phases = set(module.TABLE.phases)
    power = {phase for phase, signal in module.TABLE.rules if signal.name == "POWER_LOST"}
    assert power == phases, "power may be lost in every state"


@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_every_state_can_be_reached(module: Any) -> None:
    table: Table[Any, Any, Any, Any, Any] = module.TABLE
    phases = list[Any](module.TABLE.phases)
    reached = {phases[0]}
    while True:
        more = {to for (phase, _), rule in table.rules.items() if phase in reached for to in rule.to}
        if more <= reached:
            break
        reached |= more
    assert reached == set(phases)


@pytest.mark.parametrize("name", MODULES)
def test_the_diagram_is_printed(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"edge_agent.core.{name}"], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "stateDiagram-v2"
    assert all(re.match(r"    (\[\*\]|\w+) --> \w+", line) or " " in line for line in lines[1:])
    assert len(lines) > 5


def test_a_refused_pair_raises() -> None:
    event = Event(Signal.START, 0.0, 0.0)
    with pytest.raises(RefusedEvent):
        link.step(link.Link(phase=link.Phase.DRAINING), event)
