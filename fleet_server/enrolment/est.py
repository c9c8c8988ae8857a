"""Enrolment over Secure Transport (RFC 7030 with RFC 8951): /.well-known/est, on the device listener only.

`simpleenroll` with HTTP Basic (claim id, claim secret), or without where the key is registered, answers 202
and Retry-After until it is decided. `simplereenroll` is for whoever shows its certificate in TLS; one that
ran out cannot be shown: its key signs the request instead (CMS SignedData), with the challenge of `csrattrs`.
Errors are problem+json with the status RFC 7030 asks for.
"""

from __future__ import annotations

import base64
import binascii
import logging
import textwrap

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from fleet_server.access.asker import context_of
from fleet_server.enrolment import est_attributes, issuing, reenrolling, service
from fleet_server.enrolment.challenges import Challenges
from fleet_server.enrolment.errors import BadRequest
from fleet_server.enrolment.limiter import RateLimiter
from fleet_server.errors import (
    LamppostError,
    NotAuthenticated,
    TooLarge,
    TooManyRequests,
    UnsupportedMedia,
)
from fleet_server.problems import respond
from provisioning.proofs import MAX_PROOF_BYTES

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 2 * MAX_PROOF_BYTES  # base64 takes four for three, and line breaks
PKCS10, SIGNED = "application/pkcs10", "application/pkcs7-mime"
PEER_CERTIFICATE = "peer_certificate"  # of `request.state`: DER, as the listener took it from TLS
MAX_CREDENTIAL_CHARACTERS = 256
BURST = 60  # six posts that one technician sets up behind one address, asking every two seconds
PER_SECOND = 10.0
_REALM = 'Basic realm="lamppost claim", charset="UTF-8"'

est_router = APIRouter(prefix="/.well-known/est", tags=["est"])


@est_router.get("/cacerts", response_class=Response)
async def ca_certificates(request: Request) -> Response:
    """The certificates to trust: root and issuing authority, as certs-only CMS in base64."""
    try:
        _slow_down(request)
        bundle = await run_in_threadpool(issuing.ca_certificates, context_of(request))
        return certificates_only(bundle)
    except LamppostError as error:
        return _problem(request, error)


@est_router.post("/simpleenroll", response_class=Response)
async def simple_enroll(request: Request) -> Response:
    """Ask for a certificate with a claim, or without one for a registered key: 200 with it, or 202 while
    somebody decides."""
    try:
        _slow_down(request)
        shown = _credentials(request) if request.headers.get("authorization") else None
        csr_der = _decoded(await _body(request), {PKCS10}, request)
        ctx = context_of(request)
        if shown is None:
            answer = await run_in_threadpool(service.request_with_key, ctx, csr_der)
        else:
            answer = await run_in_threadpool(service.request_certificate, ctx, *shown, csr_der)
    except LamppostError as error:
        return _problem(request, error)
    return _answer(answer)


@est_router.get("/csrattrs", response_class=Response)
async def attributes(request: Request) -> Response:
    """What a request should hold: a P-256 key, and a challenge that is good for ten minutes."""
    try:
        _slow_down(request)
    except LamppostError as error:
        return _problem(request, error)
    encoded = base64.b64encode(est_attributes.attributes(_challenges(request).new())) + b"\n"
    return Response(
        encoded,
        media_type="application/csrattrs",
        headers={"Content-Transfer-Encoding": "base64", "Cache-Control": "no-store"},
    )


@est_router.post("/simplereenroll", response_class=Response)
async def simple_reenroll(request: Request) -> Response:
    """The next certificate: 200 with it; 202 while a person decides about one that ran out."""
    try:
        _slow_down(request)
        ctx, signed = context_of(request), _media_type(request) == SIGNED
        body = _decoded(await _body(request), {PKCS10, SIGNED}, request)
        if signed:
            fresh = _challenges(request).is_fresh
            answer = await run_in_threadpool(reenrolling.renew_expired, ctx, body, fresh)
            return _answer(answer)
        certificate = getattr(request.state, PEER_CERTIFICATE, b"")
        if not certificate:
            raise NotAuthenticated(
                "Show your certificate in TLS.", remedy="One that ran out: sign the request with its key."
            )
        chain = await run_in_threadpool(reenrolling.renew_with_certificate, ctx, certificate, body)
        return certificates_only(chain)
    except LamppostError as error:
        return _problem(request, error)


def _answer(answer: service.Waiting | service.Issued) -> Response:
    match answer:
        case service.Issued():
            return certificates_only(answer.chain_pem)
        case service.Waiting():
            return Response(status_code=202, headers={"Retry-After": str(answer.retry_after_s)})


def _challenges(request: Request) -> Challenges:
    state = request.app.state
    if not hasattr(state, "est_challenges"):  # of this application; we are on its one event loop
        state.est_challenges = Challenges()
    challenges: Challenges = state.est_challenges
    return challenges


def certificates_only(chain_pem: str) -> Response:
    """RFC 7030 section 4.1.3: degenerate CMS in base64. Its order of certificates means nothing."""
    chain = x509.load_pem_x509_certificates(chain_pem.encode())
    encoded = base64.b64encode(pkcs7.serialize_certificates(chain, Encoding.DER)).decode()
    return Response(
        "\n".join(textwrap.wrap(encoded, 64)) + "\n",
        media_type="application/pkcs7-mime; smime-type=certs-only",
        headers={"Content-Transfer-Encoding": "base64", "Cache-Control": "no-store"},
    )


def _slow_down(request: Request) -> None:
    state = request.app.state
    if not hasattr(state, "est_limiter"):  # of this application; we are on its one event loop
        state.est_limiter = RateLimiter(BURST, PER_SECOND)
    wait_s = state.est_limiter.wait_s(request.client.host if request.client is not None else "")
    if wait_s > 0:
        raise TooManyRequests("Too many requests from this address.", members={"retry_after_s": wait_s})


def _credentials(request: Request) -> tuple[str, str]:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic" or not encoded:
        raise NotAuthenticated("Show the claim: HTTP Basic with its id and its secret.")
    if len(encoded) > MAX_CREDENTIAL_CHARACTERS:
        raise NotAuthenticated("These are not a claim's id and secret.")
    try:
        claim_id, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise NotAuthenticated("These are not a claim's id and secret.") from error
    if not colon:
        raise NotAuthenticated("These are not a claim's id and secret.")
    return claim_id, secret


async def _body(request: Request) -> bytes:
    """The body, never more than MAX_BODY_BYTES of it in memory."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise TooLarge(f"A certificate request in base64 has at most {MAX_BODY_BYTES} bytes.")
    return bytes(body)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _decoded(body: bytes, allowed: set[str], request: Request) -> bytes:
    if _media_type(request) not in allowed:
        raise UnsupportedMedia(f"Send {' or '.join(sorted(allowed))}: DER in base64.")
    try:
        return base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error as error:
        raise BadRequest("The body is not base64 (of DER).") from error


def _problem(request: Request, error: LamppostError) -> Response:
    log.info("enrolment refused to %s: %s", request.client.host if request.client else "unknown", error)
    return respond(
        request, error, {"WWW-Authenticate": _REALM} if isinstance(error, NotAuthenticated) else None
    )
