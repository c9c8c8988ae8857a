"""What is wrong now: conditions, each with code, subject, detail and remedy. Pure.

A condition is raised once and cleared once however often its cause repeats; each change is told to the
server (class DIAGNOSTIC) and stands in the retained Presence while it lasts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from edge_agent.core.words import fitting, fitting_name
from wire_contract.messages import Condition

Severity = Literal["info", "warning", "error"]


@dataclass(frozen=True)
class Known:
    """What is the same for every occurrence of a code."""

    severity: Severity
    remedy: str


KNOWN: Mapping[str, Known] = MappingProxyType(
    {
        "agent_error": Known(
            "error", "Report it with the log: journalctl -u lamppost-agent. The agent goes on by itself."
        ),
        "not_allowed_out": Known(
            "error", "Report it: the agent would have said what the list of what may leave does not name."
        ),
        "clock_unset": Known("error", "Give the device a network time server (timedatectl set-ntp true)."),
        "clock_jumped": Known("warning", "Check the time service: timedatectl timesync-status."),
        "spool_shedding": Known("warning", "Restore the connection, or raise [spool] max_bytes."),
        "disk_full": Known("error", "Free space on the disk of device.data_dir (df -h, df -i)."),
        "inodes_short": Known(
            "warning",
            "Delete files on the disk of device.data_dir (df -i, du --inodes -x): nothing that the spool"
            " gives up frees an inode.",
        ),
        "spool_error": Known("error", "Look at the log: journalctl -u lamppost-agent."),
        "spool_corrupt": Known("error", "Replace the storage card if this repeats; the old file is kept."),
        "sensor_warns": Known("warning", "Clean the sensor, then power-cycle it; replace it if this stays."),
        "sensor_warming_up": Known("warning", "Power-cycle the sensor; replace it if this stays."),
        "sensor_spiking": Known("warning", "Check the cable, the plug and the power of this sensor."),
        "sensor_stuck": Known("error", "Power-cycle the sensor; replace it if this comes again."),
        "sensor_humid": Known("info", "Nothing: fog or rain. If it stays in dry weather, clean the inlet."),
        "sensor_drifting": Known("warning", "Clean both sensors, compare them side by side, replace one."),
        "model_missing": Known("warning", "Install the runtime and the model: lamppost agent model."),
        "model_refused": Known("error", "Install the model again: lamppost agent model says what is wrong."),
        "model_unsure": Known("info", "Nothing: the rule decides. Tell the model's makers if this stays."),
        "too_many_units": Known("error", "Fix sensor.serial in the configuration; sensors change too often."),
        "broker_unreachable": Known("warning", "Check the network, server.host and server.port."),
        "broker_untrusted": Known(
            "error", "Check the clock, server.ca_file, and that the certificate has not expired."
        ),
        "broker_refused": Known(
            "error", "Ask the city whether this device is active; enrol it again if not."
        ),
        "publish_refused": Known("error", "Ask the city: the broker's rules do not let this device publish."),
        "link_lost": Known("info", "Nothing: the agent connects again by itself."),
        "data_budget": Known(
            "warning", "Nothing, it is over with the month; or raise the setting data.budget_mb."
        ),
        "server_silent": Known(
            "warning", "Look at the server's ingest role: the broker is there, it is not."
        ),
        "not_enrolled": Known("error", "Put a claim into [enrolment], or run: lamppost agent enrol."),
        "enrolment_pending": Known("info", "A person has to accept this device: lamppost fleet enrolments."),
        "enrolment_refused": Known("error", "Ask the city for a new claim."),
        "enrolment_unreachable": Known("warning", "Check enrolment.url, enrolment.ca_file and the network."),
        "certificate_expiring": Known(
            "warning", "Renewal is tried by itself; check the server if this stays."
        ),
        "certificate_expired": Known(
            "error", "A person or a rule of the city's lets it renew; without enrolment.url: enrol again."
        ),
        "renewal_refused": Known("error", "Ask the city why the certificate is not renewed."),
        "identity_wrong": Known("error", "Enrol again: lamppost agent enrol."),
    }
)
# What is known of a sensor by watching its values for minutes: one good reading ends none of them.
WATCHED = frozenset({"sensor_spiking", "sensor_stuck", "sensor_humid", "sensor_drifting", "model_unsure"})
_UNKNOWN = Known("warning", "See docs/technician.md.")


@dataclass(frozen=True)
class Health:
    """The conditions that are active, by (code, subject)."""

    active: Mapping[tuple[str, str], Condition] = field(default_factory=lambda: MappingProxyType({}))

    def conditions(self) -> tuple[Condition, ...]:
        """Worst first, then by age."""
        order = {"error": 0, "warning": 1, "info": 2}
        return tuple(sorted(self.active.values(), key=lambda c: (order[c.severity], c.time_ms, c.code)))


def raised(
    health: Health, code: str, subject: str, detail: str, remedy: str, now_ms: int
) -> tuple[Health, Condition | None]:
    """Raise a condition. Returns it when that is news, None when it was active with the same detail."""
    detail = fitting(detail)
    before = health.active.get((code, subject))
    if before is not None and before.detail == detail:
        return health, None
    known = KNOWN.get(code, _UNKNOWN)
    condition = Condition(
        time_ms=before.time_ms if before else now_ms,
        code=fitting_name(code),
        subject=fitting_name(subject),
        active=True,
        severity=known.severity,
        detail=detail,
        remedy=fitting(remedy or known.remedy),
    )
    news = condition if before is None else None
    return Health({**health.active, (code, subject): condition}), news


def cleared(health: Health, code: str, subject: str, now_ms: int) -> tuple[Health, Condition | None]:
    """Clear a condition. Returns its clearing when it was active."""
    before = health.active.get((code, subject))
    if before is None:
        return health, None
    rest = {key: value for key, value in health.active.items() if key != (code, subject)}
    return Health(rest), Condition(
        time_ms=now_ms,
        code=before.code,
        subject=before.subject,
        active=False,
        severity=before.severity,
        detail=before.detail,
        remedy=before.remedy,
    )
