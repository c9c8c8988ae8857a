"""Which messages travel on which channel; anything else there is refused by its consumer.

Two tables, since Up.TWIN == Down.TWIN: both are the text "twin".
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from wire_contract import messages as m
from wire_contract.topics import Down, Up

Kinds = tuple[type[msgspec.Struct], ...]

# A tombstone travels in the class it speaks of, whichever that is.
ON_UP: Mapping[Up, Kinds] = MappingProxyType(
    {
        Up.ALARM: (m.VerdictBatch, m.Tombstone),
        Up.LIVE: (m.SampleBatch, m.Tombstone),
        Up.REPLY: (m.SensorDeclaration, m.CommandReply, m.FilePiece, m.Tombstone),
        Up.HISTORY: (m.SampleBatch, m.Tombstone),
        Up.DIAGNOSTIC: (m.ConditionBatch, m.Tombstone),
        Up.PRESENCE: (m.Presence,),
        Up.ASK: (m.Ask,),
        Up.TWIN: (m.TwinReported,),
        Up.CERTIFICATE: (m.CertificateRequest,),
    }
)
ON_DOWN: Mapping[Down, Kinds] = MappingProxyType(
    {
        Down.ACK: (m.Ack,),
        Down.COMMAND: (m.Command,),
        Down.TWIN: (m.TwinDesired,),
        Down.CERTIFICATE: (m.CertificateIssued,),
    }
)

# Kept by the broker for whoever subscribes later.
RETAINED = frozenset({Up.PRESENCE})
