"""What the server says: acks go back to the link, the rest to who carries it out."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from edge_agent.ports import Clock
from wire_contract.envelope import decode
from wire_contract.errors import WireError
from wire_contract.messages import Ack, CertificateIssued, Command, CommandName, CommandReply, TwinDesired
from wire_contract.topics import Down, parse_topic

log = logging.getLogger("lamppost")

REMEMBERED_COMMANDS = 64  # ids; a redelivery comes within seconds


class Inbound:
    """Messages of down/#. A message that cannot be understood is one log line and changes nothing."""

    def __init__(
        self,
        clock: Clock,
        reply: Callable[[CommandReply], None],
        declare: Callable[[], None],
        certificate: Callable[[CertificateIssued], None],
        desired: Callable[[TwinDesired], None],
    ) -> None:
        self._clock, self._reply, self._declare, self._certificate = clock, reply, declare, certificate
        self._desired = desired
        self._seen: deque[str] = deque(maxlen=REMEMBERED_COMMANDS)

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

    def _command(self, command: Command) -> None:
        """Carry out a command at most once per id, and not after it expired."""
        if command.id in self._seen:
            return
        self._seen.append(command.id)
        now_ms = self._clock.now_ms()
        if now_ms > command.expires_ms:
            self._reply(CommandReply(command.id, False, "expired before it arrived", now_ms))
            return
        match command.name:
            case CommandName.PING:
                detail = "pong"
            case CommandName.DECLARE:
                self._declare()
                detail = "declared again"
        self._reply(CommandReply(command.id, True, detail, now_ms))
