"""What can go wrong in the technician's hands, sorted by who is at fault.

TechnicianError
├── WrongInput          the technician's input: an option, a file (exit status 2)
├── NotSignedIn         no token, or one that the server does not take (any more)
├── ServerRefused       the server understood, and said no: `status`, `detail`, `remedy` are its own
├── ServerUnreachable   no connection: what was done is kept, and sent by `lamppost provision sync` (status 4)
├── LamppostUnreachable the lamppost's computer does not answer, or has no `lamppost`
├── NotWritten          a card or a disk did not take a bundle: full, read-only, taken out
└── BadReport           a site report that is damaged, was changed, or is signed by another key
"""

from __future__ import annotations

from provisioning.errors import ProvisioningError


class TechnicianError(ProvisioningError):
    pass


class WrongInput(TechnicianError):
    pass


class NotSignedIn(TechnicianError):
    pass


class ServerRefused(TechnicianError):
    """`kind` is the problem's type (RFC 9457) without its prefix, as in "conflict"."""

    def __init__(self, status: int, kind: str, what: str, remedy: str = "") -> None:
        super().__init__(what, remedy)
        self.status = status
        self.kind = kind


class ServerUnreachable(TechnicianError):
    pass


class LamppostUnreachable(TechnicianError):
    pass


class NotWritten(TechnicianError):
    pass


class BadReport(TechnicianError):
    pass
