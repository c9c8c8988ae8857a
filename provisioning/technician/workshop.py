"""What every command has at hand: the technician's folder, the journal, and the server where it answers."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from provisioning.storage import write_atomically
from provisioning.technician.errors import NotSignedIn, ServerUnreachable, WrongInput
from provisioning.technician.home import Home, Settings, locked, read_settings, read_token
from provisioning.technician.journal import Journal, Work, new_id
from provisioning.technician.rules import CLOCK_LEAST, State, address_of, done_at, plain
from provisioning.technician.server import Server
from provisioning.technician.syncing import Synced, sender, sync
from wire_contract.errors import InvalidName
from wire_contract.topics import Address


def to_terminal(line: str) -> None:
    print(plain(line), file=sys.stderr, flush=True)


@dataclass
class Workshop:
    """`offline`: nothing is asked of the server, what is done is kept. `address`: the server's, if given."""

    home: Home
    address: str = ""
    token_file: Path | None = None
    ca_file: Path | None = None
    offline: bool = False
    tell: Callable[[str], None] = to_terminal
    known: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        self.known = self.home.settings()

    @property
    def journal(self) -> Journal:
        return Journal(self.home.journal_file)

    @property
    def outbox(self) -> Path:
        return self.home.folder("outbox")

    @property
    def claims_file(self) -> Path:
        """Claims fetched in advance, of the city that is known: one token a line, taken one after another."""
        return self.home.folder(".") / (f"claims-{self.known.city}" if self.known.city else "claims")

    def server(self) -> Server:
        """Raises NotSignedIn, WrongInput."""
        address = self._address()
        if not address:
            raise NotSignedIn("no server is known", "lamppost provision sign-in --server https://HOST")
        token = read_token(self.token_file, self.home)
        if not token:
            raise NotSignedIn("nobody is signed in", "lamppost provision sign-in, or --token-file FILE")
        return Server(address, token, self.ca_file)

    def _address(self) -> str:
        return (self.address or os.environ.get("LAMPPOST_SERVER", "") or self.known.server).rstrip("/")

    def lamppost_address(self, name: str) -> Address:
        """Raises WrongInput."""
        try:
            return address_of(name, self.known.tenant)
        except InvalidName as wrong:
            raise WrongInput(str(wrong)) from wrong

    def ask_settings(self, server: Server) -> Settings:
        """What the server tells technicians, kept for work without it. Raises as Server does."""
        told = read_settings(server.get("/api/v1/field/settings"))
        self.known = replace(told, server=server.address)
        self.home.keep_settings(self.known)
        return self.known

    def keep(
        self, kind: str, device: Address, body: dict[str, Any], blob: bytes = b"", id_: str = ""
    ) -> Work:
        """Into the journal, and the bytes that go with it before. Raises OSError, WrongInput."""
        name = ""
        if blob:
            name = hashlib.sha256(blob).hexdigest()
            write_atomically(self.outbox / name, blob)
        when = self._done_at(str(device)).isoformat(timespec="milliseconds")
        city = self.known.city if self._address() == self.known.server else ""
        return self.journal.add(Work(id_ or new_id(), kind, str(device), when, body, name, city=city))

    def _done_at(self, device: str) -> datetime:
        now = datetime.now(UTC)
        if now < CLOCK_LEAST:
            raise WrongInput(f"this computer's clock says {now:%Y-%m-%d}", "Set it, then again")
        earlier = [
            datetime.fromisoformat(each.done_at)
            for each in self.journal.all()
            if each.device == device and each.state is not State.DROPPED
        ]
        return done_at(now, earlier)

    def send(self) -> Synced:
        """What waits, where the server answers. Raises WrongInput."""
        try:
            server = self.server()
        except NotSignedIn as unknown:
            left = self.journal.open()
            return Synced((), (), tuple(left), str(unknown))
        with closing(server), locked(self.outbox):
            try:
                cities = self._cities_of(server)
            except (ServerUnreachable, NotSignedIn) as away:
                return Synced((), (), tuple(self.journal.open()), away.what)
            return sync(self.journal, sender(server, self.outbox), self.tell, self.outbox, cities)

    def _cities_of(self, server: Server) -> tuple[str, ...]:
        """Whose work may be sent there. Raises as Server does."""
        if server.address == self.known.server or not any(each.city for each in self.journal.open()):
            return self.known.cities
        return read_settings(server.get("/api/v1/field/settings")).cities
