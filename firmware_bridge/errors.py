"""What can go wrong between the agent and a sensor, sorted by who can mend it.

SensorError
├── operator's configuration or installation
│   ├── SensorAbsent      there is no such port
│   ├── SensorForbidden   the port is there, this user may not open it
│   └── SensorBusy        another program holds the port
├── cable and power
│   ├── SensorGone        it was open and has been unplugged: close and open again
│   ├── SensorSilent      no answer
│   └── SensorGarbled     answers that are no valid frame of the configured kind
└── the sensor itself
    ├── SensorWarmingUp   it answers, but without values yet
    └── SensorFault       it reports an error of its own
"""

from __future__ import annotations

from typing import ClassVar


class SensorError(Exception):
    """Base of all. `code` is stable (conditions on the dashboard use it); `remedy` is for the technician."""

    code: ClassVar[str] = "sensor_error"
    default_remedy: ClassVar[str] = ""

    def __init__(self, port: str, detail: str, remedy: str | None = None) -> None:
        self.port = port
        self.detail = detail
        self.remedy = self.default_remedy if remedy is None else remedy
        super().__init__(f"{port}: {detail}")


class SensorAbsent(SensorError):
    code = "sensor_absent"
    default_remedy = "Plug the sensor in, or set `port` to one of the ports that exist."


class SensorForbidden(SensorError):
    code = "sensor_forbidden"
    default_remedy = "Add the agent's user to the group that owns the port: sudo usermod -aG dialout USER"


class SensorBusy(SensorError):
    code = "sensor_busy"
    default_remedy = "Stop the other program that holds the port (find it with: sudo fuser -v PORT)."


class SensorGone(SensorError):
    code = "sensor_gone"
    default_remedy = "Check plug and cable; the port is opened again by itself once it is back."


class SensorSilent(SensorError):
    code = "sensor_silent"
    default_remedy = "Check power (5 V), that TX and RX are crossed, and that `kind` is the sensor's."


class SensorGarbled(SensorError):
    code = "sensor_garbled"
    default_remedy = "Check that `kind` is the sensor's, and the cable: short, away from mains, one ground."


class SensorWarmingUp(SensorError):
    code = "sensor_warming_up"
    default_remedy = "Wait for the sensor's warm-up time."


class SensorFault(SensorError):
    code = "sensor_fault"
    default_remedy = "Power-cycle the sensor; replace it if the fault comes back."
