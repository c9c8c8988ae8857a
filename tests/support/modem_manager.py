"""A stand-in for ModemManager's tool, and what that prints: JSON of the form that mmcli 1.20 writes
(cli/mmcli-output.c), with names and values of our own. No modem was here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SUBSCRIBER = "268060000000001"  # of the test range; must be in nothing that leaves


def listed(*numbers: int) -> str:
    return json.dumps({"modem-list": [f"/org/freedesktop/ModemManager1/Modem/{n}" for n in numbers]})


def modem(
    *interfaces: str, percent: str = "64", recent: str = "yes", technologies: tuple[str, ...] = ("lte",)
) -> str:
    generic: dict[str, Any] = {
        "access-technologies": list(technologies),
        "bearers": ["/org/freedesktop/ModemManager1/Bearer/1"],
        "current-modes": "allowed: 2g, 3g, 4g; preferred: 4g",
        "equipment-identifier": "350000000000006",
        "manufacturer": "Bench",
        "own-numbers": ["+35120000000"],
        "ports": ["cdc-wdm0 (qmi)", "ttyUSB0 (ignored)", *(f"{each} (net)" for each in interfaces)],
        "power-state": "on",
        "primary-port": "cdc-wdm0",
        "signal-quality": {"recent": recent, "value": percent},
        "state": "connected",
        "unlock-retries": ["sim-pin (3)", "sim-puk (10)"],
    }
    threegpp = {"imei": "350000000000006", "operator-code": "26806", "operator-name": SUBSCRIBER, "pco": "--"}
    return json.dumps({"modem": {"3gpp": threegpp, "cdma": {"esn": "--"}, "generic": generic}})


def signal(lte: str = "--", nr: str = "--", rate: str = "0") -> str:
    """`--signal-get`: all "--" and a rate of 0 where nobody asked for a measurement."""
    return json.dumps(
        {
            "modem": {
                "signal": {
                    "5g": {"error-rate": "--", "rsrp": nr, "rsrq": "--", "snr": "--"},
                    "gsm": {"error-rate": "--", "rssi": "--"},
                    "lte": {"error-rate": "--", "rsrp": lte, "rsrq": "--", "rssi": "--", "snr": "--"},
                    "refresh": {"rate": rate},
                    "threshold": {"error-rate": "no", "rssi": "0"},
                    "umts": {"ecio": "--", "error-rate": "--", "rscp": "--", "rssi": "--"},
                }
            }
        }
    )


def stand_in(folder: Path, modems: dict[int, tuple[str, str]], script: str = "") -> str:
    """The path of a program that answers as mmcli would. modems: number -> (what -m says, what --signal-get
    says); script: a shell's, run before."""
    for number, (generic, power) in modems.items():
        (folder / f"m{number}.json").write_text(generic)
        (folder / f"s{number}.json").write_text(power)
    (folder / "list.json").write_text(listed(*modems))
    program = folder / "mmcli"
    program.write_text(
        f"""#!/bin/sh
cd '{folder}' || exit 9
echo "$*" >> asked
{script}
case "$*" in
"-L -J") cat list.json ;;
"-m "*" --signal-get -J") cat "s$2.json" ;;
"-m "*" -J") cat "m$2.json" ;;
*) exit 8 ;;
esac
"""
    )
    program.chmod(0o755)
    return str(program)


def asked(folder: Path) -> list[str]:
    """With which arguments the program was called."""
    file = folder / "asked"
    return file.read_text().splitlines() if file.exists() else []
