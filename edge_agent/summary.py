"""Status and spool for people to read on a terminal."""

from __future__ import annotations

import json
from typing import Any

from edge_agent.config_keys import AgentConfig
from edge_agent.errors import AgentError


def read_status(config: AgentConfig) -> dict[str, Any]:
    """The running agent's status file. Raises AgentError when there is none."""
    path = config.data_dir / "status.json"
    try:
        status = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise AgentError(
            f"{path}: {error}", "Is the agent running? systemctl status lamppost-agent"
        ) from error
    return dict(status)


def shown_status(status: dict[str, Any]) -> str:
    lines = [
        f"{status['tenant']}/{status['device']}  version {status['version']}  pid {status['pid']}",
        f"link      {'connected' if status['connected'] else 'not connected'}",
        f"clock     {'set' if status['clock_ok'] else 'NOT SET'}",
        f"sampling  {'yes' if status['sampling'] else 'no'}",
        f"model     {status.get('model') or 'not loaded yet'}",
        f"waiting   {sum(status['backlog'].values())} samples",
        f"spooled   {sum(status['spooled'].values())} samples since the epoch began",
        *(f"given up  {line}" for line in given_up_lines(status.get("given_up", []))),
    ]
    for sensor, values in status.get("latest", {}).items():
        told = ", ".join(f"{channel} {value:g}" for channel, value in values.items() if value is not None)
        lines.append(f"{sensor:<9} {told}")
    conditions = status["conditions"] or []
    lines += [f"{each['severity']:<9} {_told(each)}" for each in conditions]
    return "\n".join(lines if conditions else [*lines, "nothing is wrong"])


def given_up_lines(given_up: list[dict[str, Any]]) -> list[str]:
    """What policy gave up since the epoch began, a line for each class and reason."""
    return [
        f"{each['samples']} samples and {each['messages']} messages of class {each['cls']}: {each['reason']}"
        for each in given_up
    ]


def _told(condition: dict[str, Any]) -> str:
    about = f" {condition['subject']}" if condition["subject"] else ""
    return f"{condition['code']}{about}: {condition['detail']}. {condition['remedy']}"


def shown_spool(counters: dict[str, Any]) -> str:
    head = f"{'class':<11}{'messages':>9}{'samples':>10}{'acked':>10}{'waiting':>9}{'shed':>8}{'bytes':>11}"
    lines = [
        f"epoch {counters['epoch']}, {counters['units']} units, {counters['file_bytes'] / 1e6:.1f} MB",
        f"{counters['pending']} samples not yet sealed",
        head,
    ]
    for name, count in counters["classes"].items():
        lines.append(
            f"{name:<11}{count['messages']:>9}{count['samples']:>10}{count['acked_messages']:>10}"
            f"{count['waiting_messages']:>9}{count['shed_samples']:>8}{count['payload_bytes']:>11}"
        )
    lines += [f"given up: {line}" for line in given_up_lines(counters["given_up"])]
    return "\n".join(lines)
