"""Any single change to a stored log is found, and the line named; what is sound is called so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_server.access.rules import Principal
from fleet_server.audit import keys, rules
from fleet_server.audit.rules import Personal
from fleet_server.audit.verifying import (
    RETENTION,
    START,
    Checkpoint,
    FaultKind,
    Line,
    Place,
    Verified,
    signed_bytes,
    verify,
)

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
KEY, FOREIGN = (
    Ed25519PrivateKey.from_private_bytes(b"k" * 32),
    Ed25519PrivateKey.from_private_bytes(b"f" * 32),
)
SIGNED = keys.signed_by({keys.key_id(KEY.public_key()): KEY.public_key()})
ANA = Principal("operator", "ana", frozenset({"admin"}))


@dataclass(frozen=True)
class Log:
    lines: tuple[Line, ...]
    checkpoints: tuple[Checkpoint, ...]
    head: Place

    def verified(self) -> Verified:
        return verify(self.lines, self.checkpoints, SIGNED, head=self.head)


def line_of(number: int, before: bytes, what: str) -> Line:
    values = {"who": "ana", "reason": what}
    entry = rules.Entry(ANA, "devices:change", f"city/{what}", "city", after={"n": number})
    made = rules.draft(entry, AT + timedelta(seconds=number), values, [bytes([number]) * 16, b"s" * 16])
    return Line(
        number, made.body, rules.chained(before, number, made.body), made.beside, {"action": "devices:change"}
    )


def checkpoint(line: Line, key: Ed25519PrivateKey = KEY, kind: str = "checkpoint") -> Checkpoint:
    signature = key.sign(signed_bytes(line.number, line.hash, AT, kind))
    return Checkpoint(line.number, line.hash, AT, kind, keys.key_id(KEY.public_key()), signature)


def log_of(count: int, signed: tuple[int, ...]) -> Log:
    lines: list[Line] = []
    before = START.hash
    for number in range(1, count + 1):
        lines.append(line_of(number, before, f"l{number}"))
        before = lines[-1].hash
    return Log(tuple(lines), tuple(checkpoint(lines[n - 1]) for n in signed), Place(count, before))


def flipped(data: bytes, bit: int) -> bytes:
    whole = bytearray(data)
    whole[bit // 8 % len(whole)] ^= 1 << bit % 8
    return bytes(whole)


def with_line(log: Log, i: int, **changes: object) -> Log:
    lines = list(log.lines)
    lines[i] = replace(lines[i], **changes)  # type: ignore[arg-type]
    return replace(log, lines=tuple(lines))


def rewritten(log: Log, i: int) -> Log:
    """The forger's best: line i says something else, and all after it is chained anew, the head too."""
    lines = list(log.lines)
    before = lines[i - 1].hash if i else START.hash
    lines[i] = line_of(i + 1, before, "forged")
    for n in range(i + 1, len(lines)):
        lines[n] = replace(lines[n], hash=rules.chained(lines[n - 1].hash, n + 1, lines[n].body or ""))
    return replace(log, lines=tuple(lines), head=Place(len(lines), lines[-1].hash))


Mutation = Callable[[Log, int, int], Log]


def change_body(log: Log, i: int, bit: int) -> Log:
    body = log.lines[i].body or ""
    at = bit % len(body)
    return with_line(log, i, body=body[:at] + chr(ord(body[at]) ^ 1) + body[at + 1 :])


def change_hash(log: Log, i: int, bit: int) -> Log:
    return with_line(log, i, hash=flipped(log.lines[i].hash, bit))


def remove(log: Log, i: int, _: int) -> Log:
    return replace(log, lines=log.lines[:i] + log.lines[i + 1 :])


def cut(log: Log, i: int, _: int) -> Log:
    """The end goes; the head and a checkpoint tell."""
    return replace(log, lines=log.lines[:i])


def repeat(log: Log, i: int, _: int) -> Log:
    return replace(log, lines=(*log.lines[: i + 1], *log.lines[i:]))


def swap(log: Log, i: int, j: int) -> Log:
    lines, other = list(log.lines), (i + 1 + j % (len(log.lines) - 1)) % len(log.lines)
    lines[i], lines[other] = lines[other], lines[i]
    return replace(log, lines=tuple(lines))


def swap_bodies(log: Log, i: int, j: int) -> Log:
    other = (i + 1 + j % (len(log.lines) - 1)) % len(log.lines)
    return with_line(with_line(log, i, body=log.lines[other].body), other, body=log.lines[i].body)


def renumber(log: Log, i: int, by: int) -> Log:
    return with_line(log, i, number=log.lines[i].number + 1 + by % 5)


def forge(log: Log, i: int, _: int) -> Log:
    return rewritten(log, i)


def change_value(log: Log, i: int, _: int) -> Log:
    beside = log.lines[i].beside or ()
    return with_line(log, i, beside=(replace(beside[0], value="eve"), *beside[1:]))


def remove_value(log: Log, i: int, _: int) -> Log:
    return with_line(log, i, beside=(log.lines[i].beside or ())[1:])


def add_value(log: Log, i: int, _: int) -> Log:
    return with_line(log, i, beside=(*(log.lines[i].beside or ()), Personal("zz", b"s" * 16, "eve")))


def change_column(log: Log, i: int, _: int) -> Log:
    return with_line(log, i, copied={"action": "devices:read"})


def change_signature(log: Log, i: int, bit: int) -> Log:
    made = log.checkpoints[i % len(log.checkpoints)]
    changed = replace(made, signature=flipped(made.signature, bit))
    return replace(log, checkpoints=tuple(changed if each is made else each for each in log.checkpoints))


def move_checkpoint(log: Log, i: int, by: int) -> Log:
    made = log.checkpoints[i % len(log.checkpoints)]
    return replace(log, checkpoints=(*log.checkpoints, replace(made, number=made.number + 1 + by % 5)))


def pretend_retention(log: Log, i: int, _: int) -> Log:
    """Lines go, and an ordinary checkpoint is relabelled to stand for them."""
    made = log.checkpoints[0]
    checkpoints = (replace(made, kind=RETENTION), *log.checkpoints[1:])
    return replace(log, lines=log.lines[made.number :], checkpoints=checkpoints)


def foreign_checkpoint(log: Log, i: int, _: int) -> Log:
    return replace(log, checkpoints=(*log.checkpoints, checkpoint(log.lines[i], FOREIGN)))


def change_head(log: Log, _: int, bit: int) -> Log:
    return replace(log, head=replace(log.head, hash=flipped(log.head.hash, bit)))


MUTATIONS: tuple[Mutation, ...] = (
    change_body, change_hash, remove, cut, repeat, swap, swap_bodies, renumber, forge, change_value,
    remove_value, add_value, change_column, change_signature, move_checkpoint, pretend_retention,
    foreign_checkpoint, change_head,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.integers(2, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1))),
    st.integers(1, 12),
    st.integers(0, 600),
    st.sampled_from(MUTATIONS),
)
def test_any_single_change_is_found(
    size_and_line: tuple[int, int], first: int, bit: int, change: Mutation
) -> None:
    count, i = size_and_line
    log = log_of(count, (min(first, count), count) if first < count else (count,))
    assert log.verified().fault is None
    changed = change(log, i, bit)
    fault = changed.verified().fault
    assert fault is not None
    assert 1 <= fault.line <= count + 6
    if change in (change_body, change_hash, change_value, remove_value, add_value, change_column):
        assert fault.line == i + 1
    if change is remove:
        assert (fault.line, fault.kind) == (i + 1, FaultKind.MISSING if i < count - 1 else FaultKind.CUT)
    if change is forge:  # named as far as a signature reaches
        assert fault.kind is FaultKind.FORGED
        assert fault.line <= i + 1


def test_what_is_gone_by_retention_and_by_erasure_is_sound() -> None:
    log = log_of(9, (4, 9))
    kept = replace(
        log,
        lines=log.lines[4:],
        checkpoints=(checkpoint(log.lines[3], kind=RETENTION), *log.checkpoints[1:]),
    )
    found = kept.verified()
    assert found.fault is None
    assert (found.first, found.last, found.signed_to) == (5, 9, 9)
    gone = (Personal("reason", None, "erased-1"), Personal("who", None, "erased-1"))
    erased = with_line(kept, 2, beside=gone).verified()
    assert erased.fault is None
    assert erased.erased == 2
    unsaid = replace(kept, checkpoints=log.checkpoints[1:]).verified().fault
    assert unsaid is not None
    assert unsaid.kind is FaultKind.MISSING
    assert unsaid.line == 1
    nothing = verify((), (), SIGNED, head=START)
    assert nothing.fault is None
    assert nothing.lines == 0


def test_the_words_say_what_it_means() -> None:
    log = log_of(6, (6,))
    body = with_line(log, 2, body=(log.lines[2].body or "").replace("l3", "l4")).verified().fault
    assert body is not None
    assert "changed after it was written" in body.means
    own = with_line(log, 2, hash=bytes(32)).verified().fault
    assert own is not None
    assert own.means == "The hash of line 3 was changed; what it says is what was written."
    stranger = (
        replace(log, checkpoints=(replace(checkpoint(log.lines[5]), key_id="0" * 16),)).verified().fault
    )
    assert stranger is not None
    assert "not among those given" in stranger.means
