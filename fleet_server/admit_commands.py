"""`lamppost fleet enrolments admit`: a file of requests in, a file of certificates out."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from fleet_server.admin_commands import Row, console
from fleet_server.context import Context
from fleet_server.enrolment.admitting import admit_all, read_wishes
from fleet_server.errors import InvalidRequest

TELL_EVERY_S = 2.0


def enrolments_admit(ctx: Context, options: argparse.Namespace) -> list[Row]:
    """Each answer is written as soon as it is there: what was done before a mistake or Ctrl-C stands."""
    wishes = list(read_wishes(_lines(options.requests)))
    if not wishes:
        raise InvalidRequest(f"{options.requests} asks for no lamppost.")
    try:
        answers = options.answers.open("a", encoding="utf-8")
    except OSError as error:
        raise InvalidRequest(f"{options.answers} cannot be written: {error.strerror}.") from None
    told_s = time.monotonic()
    with answers:
        admitted = admit_all(ctx, console(), wishes, replace=options.replace)
        for number, (wish, chain_pem) in enumerate(admitted, start=1):
            answers.write(json.dumps({"device": wish.device, "chain": chain_pem}) + "\n")
            answers.flush()
            if time.monotonic() - told_s >= TELL_EVERY_S:
                told_s = time.monotonic()
                print(f"{number} of {len(wishes)} let in", file=sys.stderr)
    return [{"admitted": len(wishes), "answers": str(options.answers)}]


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file} cannot be read: {error}.") from None
