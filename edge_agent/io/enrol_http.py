"""The Enroller port over HTTPS: EST (RFC 7030 with RFC 8951), `cacerts` and `simpleenroll` with a claim."""

from __future__ import annotations

import base64
import binascii
import json
import ssl
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from edge_agent.errors import EnrolmentPending, EnrolmentRefused, EnrolmentUnreachable
from edge_agent.ports import Plea

TIMEOUT_S = 20.0
RETRY_DEFAULT_S = 10.0  # where a server that asks to wait does not say how long
MAX_ANSWER_BYTES = 64 * 1024  # a chain of three certificates is 3 kB


class EstEnroller:
    """See `edge_agent.ports.Enroller`. `ca_file` verifies the server; empty: the system's authorities."""

    def __init__(self, url: str, ca_file: str) -> None:
        self._base = url.rstrip("/") + "/.well-known/est"
        if ca_file and not Path(ca_file).exists():
            raise EnrolmentUnreachable(f"enrolment.ca_file {ca_file} is not there")
        self._context = ssl.create_default_context(cafile=ca_file or None)

    def trust_bundle(self) -> str:
        return _pem(self._call(Request(f"{self._base}/cacerts"))[1])  # noqa: S310 https only

    def enrol(self, plea: Plea) -> str:
        claim_id, _, secret = plea.claim.partition(".")
        basic = base64.b64encode(f"{claim_id}:{secret}".encode()).decode()
        request = Request(  # noqa: S310 https only, by the configuration
            f"{self._base}/simpleenroll",
            data=base64.b64encode(plea.csr_der),
            headers={
                "Content-Type": "application/pkcs10",
                "Content-Transfer-Encoding": "base64",
                "Authorization": f"Basic {basic}",
            },
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
            with urlopen(request, timeout=TIMEOUT_S, context=self._context) as answer:  # noqa: S310 https only
                return answer.status, answer.read(MAX_ANSWER_BYTES), answer.headers.get("Retry-After", "")
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
