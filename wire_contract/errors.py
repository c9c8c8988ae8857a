"""Everything that can be wrong with what crosses the wire, told apart by type.

    WireError                    the peer's fault, or damage on the way; never ours, never the link's
    ├── TruncatedMessage         the header promises more bytes than came
    ├── OversizedMessage         larger than limits.py allows, before or after decompression
    ├── FutureVersion            a version this program does not know: update, then replay
    ├── UnknownKind              this version, but a kind of message this program does not know
    ├── MalformedMessage         everything else: damaged, of wrong types, outside the limits
    ├── BadProperties            the MQTT user properties do not name a delivery
    ├── UnknownTopic             not a topic of ours
    └── InvalidName              not a tenant's or a device's name

`code` is stable: it is what the dead-letter table and the metrics say.
"""

from __future__ import annotations

from typing import ClassVar


class WireError(Exception):
    """Base of all; `str(error)` says what was found and what was expected."""

    code: ClassVar[str] = "wire"


class TruncatedMessage(WireError):
    code = "truncated"


class OversizedMessage(WireError):
    code = "oversized"


class FutureVersion(WireError):
    code = "future_version"


class UnknownKind(WireError):
    code = "unknown_kind"


class MalformedMessage(WireError):
    code = "malformed"


class BadProperties(WireError):
    code = "bad_properties"


class UnknownTopic(WireError):
    code = "unknown_topic"


class InvalidName(WireError):
    code = "invalid_name"
