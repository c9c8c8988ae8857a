"""TLS towards the city's servers: a retired issuing authority is believed no longer, though its root is.

OpenSSL is content with every chain that ends at a root. Trusting the issuing authorities alone would shut out
a lamppost that was away while the next one took over; so the root decides, and a retired one is refused by
its name (`wire_contract.authorities`).
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wire_contract.authorities import is_retired


class CitySocket(ssl.SSLSocket):
    """Its handshake raises ssl.SSLCertVerificationError, too, for a retired authority's certificate."""

    def do_handshake(self, block: bool = False) -> None:
        super().do_handshake(block)
        issuer = _common_name((self.getpeercert() or {}).get("issuer", ()))
        if is_retired(issuer, _trusted(self.context)):
            refused = ssl.SSLCertVerificationError(1, f"{issuer!r} has signed it, which is retired")
            refused.verify_message = f"{issuer!r} has signed it, and is not trusted any longer"
            raise refused


def city_context(ca_file: str | Path | None) -> ssl.SSLContext:
    """For a client, TLS 1.2 or newer. ca_file: roots and issuing authorities; None: the system's authorities.

    Raises OSError, ssl.SSLError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies chain and host name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = CitySocket
    if ca_file is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(ca_file)
    return context


def _trusted(context: ssl.SSLContext) -> list[str]:
    held: list[Mapping[str, Any]] = list(context.get_ca_certs())
    return [_common_name(each.get("subject", ())) for each in held]


def _common_name(name: Any) -> str:
    """Of a name as `getpeercert` tells it: (((type, value), ...), ...)."""
    return next((value for part in name for kind, value in part if kind == "commonName"), "")
