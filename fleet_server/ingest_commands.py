"""What `lamppost ingest dead` does: asks the telemetry slice, and tells in words or as a document."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from fleet_server.admin_commands import console
from fleet_server.command_line import Answer
from fleet_server.config import ServerConfig
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.errors import ConfigurationError, InvalidRequest
from fleet_server.health import database_parts
from fleet_server.progress import Progress
from fleet_server.telemetry import letters
from fleet_server.telemetry.ingest.replay import ReplayOutcome
from fleet_server.telemetry.letters import DeadLetterRecord, LetterContent, LetterFilter
from wire_contract.classes import Class
from wire_contract.envelope import decode
from wire_contract.errors import WireError
from wire_contract.messages import Message, SampleBatch
from wire_contract.topics import Address

DUMPED_BYTES = 512  # of a message's bytes on a terminal; --raw gives all
BYTES_A_LINE = 16
SHOWN_REFUSED = 20  # letters that a replay names on a terminal; --json names all


def check_there_is_a_server(config: ServerConfig) -> None:
    """Raises ConfigurationError: a mistyped --data must not make a new, empty database."""
    directory = config.database.embedded_directory
    if directory is not None and not directory.exists():
        raise ConfigurationError(
            f"There is no server's data in {config.data_dir}.",
            remedy="Give --config and --data as `lamppost serve` has them, or start it once.",
        )


def check_schema(ctx: Context) -> None:
    """Raises ConfigurationError for a database of an older or newer program."""
    schema = database_parts(ctx)["migrations"]
    if not schema.ok:
        raise ConfigurationError(f"The database's schema does not fit: {schema.detail}.")


def check_lamppost(ctx: Context, device: str | None) -> None:
    """A mistyped name is told from a lamppost without letters. Raises NotFound."""
    if device is not None:
        devices.get_device(ctx, console(), Address.parse(device))


def dead_list(ctx: Context, options: argparse.Namespace) -> Answer:
    which = _filter(options, waiting=not options.all)
    found = letters.listed(ctx, console(), which, before_id=options.before, limit=options.limit + 1)
    shown = found[: options.limit]
    before = shown[-1].id if len(found) > len(shown) else None
    document = {"letters": [_record(each) for each in shown], "next_before": before}
    lines = [_line(each) for each in shown] or ["none"]
    if before is not None:
        lines.append(f"there are more: --before {before}")
    return Answer(0, document, lines)


def dead_show(ctx: Context, options: argparse.Namespace) -> Answer:
    found = letters.content(ctx, console(), options.id)
    if options.raw is not None:
        _save(options.raw, found.payload)
    decoded, fault = _decoded(found.payload)
    document = _record(found.record) | {
        "epoch": found.epoch.hex() if found.epoch else None,
        "missing_unit": found.missing_unit,
        "properties": [list(pair) for pair in found.properties],
        "content": decoded,
        "cannot_be_read": fault,
        "payload_hex": found.payload.hex(),
    }
    return Answer(0, document, list(_told(found, decoded, fault)))


def dead_replay(ctx: Context, options: argparse.Namespace) -> Answer:
    numbers: list[int] = list(dict.fromkeys(options.id))
    numbers = numbers or letters.waiting(ctx, console(), _filter(options, waiting=True))
    outcomes: Counter[str] = Counter()
    samples = 0
    refused = []
    progress = Progress(quiet=options.json)
    for done, (number, told) in enumerate(letters.replay_all(ctx, console(), numbers), 1):
        outcomes[str(told.outcome)] += 1
        samples += told.samples
        if told.outcome in (ReplayOutcome.REFUSED, ReplayOutcome.NO_SUCH):
            why = {"reason": told.reason or str(told.outcome), "detail": told.detail}
            refused.append({"id": number} | why)
        progress.told(f"{done:,} of {len(numbers):,} letters, {outcomes[ReplayOutcome.STORED]:,} stored")
    progress.done()
    document = {"tried": len(numbers), **outcomes, "samples": samples, "still_not_stored": refused}
    counted = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in sorted(outcomes.items()))
    lines = [f"{len(numbers):,} letters tried: {counted or 'there were none'}; {samples:,} samples are new"]
    lines += [
        f"  {each['id']}  {each['reason']}  {each['detail']}".rstrip() for each in refused[:SHOWN_REFUSED]
    ]
    if len(refused) > SHOWN_REFUSED:
        lines.append(f"  and {len(refused) - SHOWN_REFUSED:,} more")
    return Answer(1 if refused else 0, document, lines)


def _filter(options: argparse.Namespace, *, waiting: bool) -> LetterFilter:
    since: datetime | timedelta | None = options.since
    if isinstance(since, timedelta):
        since = datetime.now(UTC) - since  # letters are dated by the wall clock
    return LetterFilter(options.reason, options.device, since, waiting)


def _save(path: Path, payload: bytes) -> None:
    """Raises InvalidRequest: what is there is never written over."""
    try:
        with path.open("xb") as file:
            file.write(payload)
    except FileExistsError:
        raise InvalidRequest(f"{path} is there already.", remedy="Name a new file.") from None
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be written: {error.strerror}.") from error


def _decoded(payload: bytes) -> tuple[Any, str | None]:
    """What the message says, samples as a summary, and why it cannot be read."""
    try:
        said = decode(payload)
    except WireError as error:
        return None, f"{error.code}: {error}"
    return _summary(said), None


def _summary(said: Message) -> Any:
    if not isinstance(said, SampleBatch):
        return {"kind": type(said).__name__} | _plain(said)
    blocks = [
        {
            "unit": block.unit,
            "slots": list(block.slots),
            "rows": len(block.times_ms),
            "from_ms": min(block.times_ms),
            "to_ms": max(block.times_ms),
            "first_row": [column[0] for column in block.columns],
        }
        for block in said.blocks
    ]
    return {"kind": "SampleBatch", "blocks": blocks}


def _plain(said: Message) -> dict[str, Any]:
    fields = (name for name in said.__struct_fields__)
    return {name: msgspec.to_builtins(getattr(said, name), str_keys=True) for name in fields}


def _record(letter: DeadLetterRecord) -> dict[str, Any]:
    return {
        "id": letter.id,
        "device": letter.device,
        "reason": letter.reason,
        "detail": letter.detail,
        "topic": letter.topic,
        "class": None if letter.class_ is None else Class(letter.class_).name.lower(),
        "sequence": letter.sequence,
        "bytes": letter.payload_bytes,
        "received": letter.received_at.isoformat(timespec="seconds"),
        "attempts": letter.attempts,
        "replayed": letter.replayed_at and letter.replayed_at.isoformat(timespec="seconds"),
    }


def _line(letter: DeadLetterRecord) -> str:
    at = letter.received_at.strftime("%Y-%m-%d %H:%M:%S")
    done = "  (replayed)" if letter.replayed_at else ""
    device = letter.device or "-"
    return _printable(
        f"{letter.id:>8}  {at}  {device:<24}  {letter.reason:<20}  {letter.payload_bytes:>6} B"
        f"  {letter.detail}{done}"
    )


def _told(found: LetterContent, decoded: Any, fault: str | None) -> Iterator[str]:
    for name, value in _record(found.record).items():
        yield _printable(f"{name:<10} {'' if value is None else value}").rstrip()
    for name, value in found.properties:
        yield _printable(f"property   {name} = {value}")
    yield f"content    cannot be read: {fault}" if fault else "content"
    if fault is None:
        yield from (
            f"  {line}" for line in msgspec.json.format(msgspec.json.encode(decoded)).decode().split("\n")
        )
    for at in range(0, min(len(found.payload), DUMPED_BYTES), BYTES_A_LINE):
        part = found.payload[at : at + BYTES_A_LINE]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        yield f"  {at:06x}  {part.hex(' '):<47}  {shown}"
    if len(found.payload) > DUMPED_BYTES:
        yield f"  and {len(found.payload) - DUMPED_BYTES:,} bytes more: --raw FILE saves them all"


def _printable(text: str) -> str:
    """A lamppost's words, so that no terminal obeys them."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
