"""A certificate's validity, read from its DER without `cryptography` (which would cost the agent 20 MB).

RFC 5280 4.1: Certificate ::= SEQUENCE { tbs SEQUENCE { [0] version, serial, algorithm, issuer, validity ...
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

from edge_agent.core.renewing import Validity

_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18
_END = "-----END CERTIFICATE-----"


def validity(path: Path) -> Validity:
    """Of the first certificate in a PEM file. Raises OSError, ValueError."""
    pem = path.read_text(encoding="ascii", errors="replace")
    first = pem[: pem.index(_END) + len(_END)] if _END in pem else pem
    der = ssl.PEM_cert_to_DER_cert(first[first.find("-----BEGIN") :])
    tbs = _content(_content(der, 0, _SEQUENCE), 0, _SEQUENCE)
    at = 0
    if tbs[at] == _VERSION:
        at = _end(tbs, at)
    for _ in ("serial", "algorithm", "issuer"):
        at = _end(tbs, at)
    dates = _content(tbs, at, _SEQUENCE)
    return Validity(_time(dates, 0), _time(dates, _end(dates, 0)))


def _header(data: bytes, at: int) -> tuple[int, int]:
    """Where the content of the element at `at` begins and ends."""
    if at + 2 > len(data):
        raise ValueError("truncated DER")
    length, start = data[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(data[start : start + count], "big")
        start += count
    if start + length > len(data):
        raise ValueError("truncated DER")
    return start, start + length


def _end(data: bytes, at: int) -> int:
    return _header(data, at)[1]


def _content(data: bytes, at: int, tag: int) -> bytes:
    start, end = _header(data, at)
    if data[at] != tag:
        raise ValueError(f"DER tag {data[at]:#x} where {tag:#x} belongs")
    return data[start:end]


def _time(data: bytes, at: int) -> float:
    start, end = _header(data, at)
    text = data[start:end].decode("ascii")
    if data[at] == _UTC_TIME:
        century = "19" if int(text[:2]) >= 50 else "20"  # RFC 5280 4.1.2.5.1
        text = century + text
    elif data[at] != _GENERALIZED_TIME:
        raise ValueError(f"DER tag {data[at]:#x} is no time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
