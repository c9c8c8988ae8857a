"""What the server says: acks go back to the link, the rest to who carries it out."""

from __future__ import annotations

import logging
from collections.abc import Callable

from wire_contract.envelope import decode
from wire_contract.errors import WireError
from wire_contract.messages import Ack, CertificateIssued, Command, TwinDesired
from wire_contract.topics import Down, parse_topic

log = logging.getLogger("lamppost")


class Inbound:
    """Messages of down/#. A message that cannot be understood is one log line and changes nothing.

    Called on the link's thread: `command`, `certificate` and `desired` return at once.
    """

    def __init__(
        self,
        command: Callable[[Command], None],
        certificate: Callable[[CertificateIssued], None],
        desired: Callable[[TwinDesired], None],
    ) -> None:
        self._command, self._certificate, self._desired = command, certificate, desired

    def take(self, topic: str, payload: bytes, epoch: bytes) -> Ack | None:
        """Deal with a message; an Ack of this epoch is given back for the link."""
        try:
            _, channel = parse_topic(topic)
            message = decode(payload)
        except WireError as error:
            log.warning("a message on %s was not understood: %s", topic, error)
            return None
        if isinstance(message, Ack) and channel is Down.ACK:
            return message if message.epoch == epoch else None
        if isinstance(message, Command) and channel is Down.COMMAND:
            self._command(message)
        elif isinstance(message, CertificateIssued) and channel is Down.CERTIFICATE:
            self._certificate(message)
        elif isinstance(message, TwinDesired) and channel is Down.TWIN:
            self._desired(message)
        else:
            log.info("nothing here handles a %s on %s", type(message).__name__, topic)
        return None
