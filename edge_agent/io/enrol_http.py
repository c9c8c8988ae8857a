"""The Enroller port over HTTPS: EST (RFC 7030 with RFC 8951), first enrolment and re-enrolment."""

from __future__ import annotations

import base64
import binascii
import json
import re
import ssl
from http.client import HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPSHandler, Request, build_opener

from edge_agent.errors import ClockUnknown, EnrolmentPending, EnrolmentRefused, EnrolmentUnreachable
from edge_agent.io.city_tls import city_context
from edge_agent.io.first_time import FirstTime
from edge_agent.ports import Plea

TIMEOUT_S = 20.0
RETRY_DEFAULT_S = 10.0  # where a server that asks to wait does not say how long
# challengePassword and its PrintableString of less than 128 characters, in DER (RFC 7030, section 4.5.2)
_CHALLENGE = re.compile(
    rb"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07\x31.\x13(.)([0-9a-f-]{1,100})", re.DOTALL
)
MAX_ANSWER_BYTES = 64 * 1024  # a chain of three certificates is 3 kB


class EstEnroller:
    """See `edge_agent.ports.Enroller`. `ca_file` verifies the server; empty: the system's authorities.

    identity: the certificate and key to show in TLS, for `reenrol`.
    """

    def __init__(
        self,
        url: str,
        ca_file: str,
        identity: tuple[Path, Path] | None = None,
        first_time: FirstTime | None = None,
    ) -> None:
        self._base = url.rstrip("/") + "/.well-known/est"
        if ca_file and not Path(ca_file).exists():
            raise EnrolmentUnreachable(f"enrolment.ca_file {ca_file} is not there")
        try:
            self._context = city_context(ca_file or None)
            if identity is not None:
                self._context.load_cert_chain(*identity)
        except (ssl.SSLError, OSError) as error:
            raise EnrolmentUnreachable(f"key, certificate or authority cannot be used: {error}") from error
        self._first_time = first_time

    def trust_bundle(self) -> str:
        return _pem(self._call(Request(f"{self._base}/cacerts"))[1])  # noqa: S310 https only

    def enrol(self, plea: Plea) -> str:
        claim_id, _, secret = plea.claim.partition(".")
        basic = base64.b64encode(f"{claim_id}:{secret}".encode()).decode()
        shown = {"Authorization": f"Basic {basic}"} if plea.claim else {}
        return self._ask("simpleenroll", "application/pkcs10", plea.csr_der, shown)

    def challenge(self) -> str:
        """What a request signed by an expired certificate's key has to carry. Raises EnrolmentUnreachable."""
        body = self._call(Request(f"{self._base}/csrattrs"))[1]  # noqa: S310 https only
        try:
            found = _CHALLENGE.search(base64.b64decode(b"".join(body.split()), validate=True))
        except binascii.Error:
            found = None
        if found is None:
            raise EnrolmentUnreachable("the server's csrattrs hold no challenge")
        return found[2].decode("ascii")

    def reenrol(self, csr_der: bytes) -> str:
        """The next chain, PEM, by the certificate that this connection shows. Raises as `enrol`."""
        return self._ask("simplereenroll", "application/pkcs10", csr_der, {})

    def reenrol_signed(self, signed_der: bytes) -> str:
        """The next chain, PEM, for a request signed by an expired certificate's key. Raises as `enrol`."""
        return self._ask("simplereenroll", "application/pkcs7-mime; smime-type=signed-data", signed_der, {})

    def _ask(self, what: str, kind: str, body: bytes, more: dict[str, str]) -> str:
        request = Request(  # noqa: S310 https only, by the configuration
            f"{self._base}/{what}",
            data=base64.b64encode(body),
            headers={"Content-Type": kind, "Content-Transfer-Encoding": "base64", **more},
        )
        status, body, retry_after = self._call(request)
        if status == 202:
            raise EnrolmentPending(
                "the server waits for a person to accept this device",
                "Compare the key's fingerprint, then accept: lamppost fleet enrolments.",
                _seconds(retry_after),
            )
        return _pem(body)

    def _call(self, request: Request) -> Any:
        """(status, body, Retry-After). Raises EnrolmentRefused, EnrolmentPending, EnrolmentUnreachable."""
        try:
            if self._first_time is not None:
                self._first_time.relax(self._context)
            opener = build_opener(_Dated(self._context, self._first_time))
            with opener.open(request, timeout=TIMEOUT_S) as answer:
                return answer.status, answer.read(MAX_ANSWER_BYTES), answer.headers.get("Retry-After", "")
        except ClockUnknown as error:
            raise EnrolmentUnreachable(error.detail, error.remedy) from error
        except HTTPError as error:
            detail = f"{error.code}: {_problem(error)}"
            retry_after = error.headers.get("Retry-After", "")
            if error.code in (429, 503):
                wait_s = _seconds(retry_after)
                raise EnrolmentPending(f"the server asks to wait ({detail})", "", wait_s) from error
            if error.code >= 500:
                raise EnrolmentUnreachable(f"the server failed ({detail})") from error
            raise EnrolmentRefused(f"the server refused ({detail})") from error
        except ssl.SSLCertVerificationError as error:
            raise EnrolmentUnreachable(f"the server's certificate: {error.verify_message}") from error
        except URLError as error:
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                why = f"the server's certificate was not accepted: {error.reason.verify_message}"
                raise EnrolmentUnreachable(why, "Check enrolment.ca_file and the clock.") from error
            raise EnrolmentUnreachable(f"no server at {self._base}: {error.reason}") from error
        except OSError as error:
            raise EnrolmentUnreachable(f"no server at {self._base}: {error}") from error


class _Connection(HTTPSConnection):
    """Looks at the certificate's dates itself where OpenSSL was told not to."""

    first_time: FirstTime | None = None

    def connect(self) -> None:
        super().connect()
        if self.first_time is not None:
            self.first_time.check(self.sock.getpeercert())


class _Dated(HTTPSHandler):
    def __init__(self, context: ssl.SSLContext, first_time: FirstTime | None) -> None:
        super().__init__(context=context)
        self._tls, self._first_time = context, first_time

    def https_open(self, req: Request) -> HTTPResponse:
        def connection(host: str, **how: Any) -> _Connection:
            made = _Connection(host, **how)
            made.first_time = self._first_time
            return made

        return self.do_open(connection, req, context=self._tls)


def _pem(body: bytes) -> str:
    """Certs-only CMS in base64 as PEM. Raises EnrolmentUnreachable when it is something else."""
    from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

    try:
        der = base64.b64decode(b"".join(body.split()), validate=True)
        certificates = pkcs7.load_der_pkcs7_certificates(der)
    except (binascii.Error, ValueError) as error:
        raise EnrolmentUnreachable(f"the server's answer is no certificate: {error}") from error
    return "".join(each.public_bytes(Encoding.PEM).decode() for each in certificates)


def _seconds(retry_after: str) -> float:
    return float(retry_after) if retry_after.isdigit() else RETRY_DEFAULT_S


def _problem(error: HTTPError) -> str:
    """The one line of a problem+json answer."""
    try:
        told = json.loads(error.read(MAX_ANSWER_BYTES))
        return str(told.get("detail") or told.get("title") or error.reason)
    except (ValueError, AttributeError, OSError):
        return str(error.reason)
