"""A site report: what was handed over, as one HTML file that is signed, printed, and read by programs too.

The signature is the file's last line, a comment, and covers every byte before it, so that no word of what
people see can be changed without being noticed:

    <!doctype html> … <script type="application/json" id="site-report">{…}</script> … </html>
    <!-- lamppost-site-report BASE64({"alg":"Ed25519","key":BASE64,"sig":BASE64}) -->

Signed is "lamppost site report 1\\n" and those bytes (Ed25519, RFC 8032; `key` is the raw public key).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import os
import re
import secrets
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from provisioning.errors import ProvisioningError
from provisioning.requests import fingerprint
from provisioning.storage import private_directory, write_atomically
from provisioning.technician.errors import BadReport, WrongInput
from provisioning.technician.site_test import SiteTest, from_json
from wire_contract.errors import InvalidName
from wire_contract.topics import Address

FORMAT = 1
CONTEXT = b"lamppost site report 1\n"
REPORT_MAX_BYTES = 16 << 20  # six pictures of a phone in base64, and the rest
PHOTOS_MOST = 6
TEXT_MOST = 2000  # characters of a note
NAME_MOST = 100
_TRAILER = re.compile(rb"<!-- lamppost-site-report ([A-Za-z0-9+/=]{1,1000}) -->\n")
_DATA = re.compile(r'<script type="application/json" id="site-report">(.*?)</script>', re.DOTALL)
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Picture:
    """A photo in the report. `content` is what `photos.stripped` left of it."""

    sha256: str
    media_type: str
    caption: str = ""
    content: bytes = field(default=b"", repr=False, compare=False)


@dataclass(frozen=True)
class SiteReport:
    """What is handed over. Names are of people. Instants: ISO 8601 with a zone."""

    id: str
    device: str  # "tenant/name"
    made_at: str
    technician: str
    received_by: str = ""
    site: str = ""
    district: str = ""
    latitude: float | None = None  # degrees, WGS 84
    longitude: float | None = None
    height_m: float | None = None  # of the sensors above the ground
    note: str = ""
    test: SiteTest | None = None
    photos: tuple[Picture, ...] = ()

    @property
    def passed(self) -> bool:
        return self.test is not None and self.test.passed


@dataclass(frozen=True)
class Verified:
    """A report whose bytes are as they were signed, and by which key."""

    report: SiteReport
    key_fingerprint: str
    sha256: str


def checked(report: SiteReport) -> SiteReport:
    """Raises WrongInput for what cannot be handed over."""
    problem = _problem(report)
    if problem:
        raise WrongInput(f"the site report: {problem}")
    return report


def _problem(r: SiteReport) -> str:
    try:
        Address.parse(r.device)
        aware = datetime.fromisoformat(r.made_at).tzinfo is not None
    except (InvalidName, ValueError) as wrong:
        return str(wrong)
    place = (r.latitude, r.longitude)
    checks = {
        "its id is not 32 hex digits": _ID.fullmatch(r.id) is not None,
        "its time has no zone": aware,
        "nobody hands it over": 0 < len(r.technician.strip()) <= NAME_MOST,
        "names have at most 100 characters": max(len(r.received_by), len(r.district)) <= NAME_MOST,
        "a site has at most 200 characters": len(r.site) <= 200,
        "the note is too long": len(r.note) <= TEXT_MOST,
        "texts are printable": all(
            t.replace("\n", " ").isprintable()
            for t in (r.technician, r.received_by, r.site, r.district, r.note)
        ),
        "a place has both coordinates": (place[0] is None) == (place[1] is None),
        "latitude is -90 to 90": place[0] is None or -90 <= place[0] <= 90,
        "longitude is -180 to 180": place[1] is None or -180 <= place[1] <= 180,
        "a height is 0 to 100 m": r.height_m is None or 0 <= r.height_m <= 100,
        "the test is of another lamppost": r.test is None or r.test.device == r.device,
        f"it has more than {PHOTOS_MOST} pictures": len(r.photos) <= PHOTOS_MOST,
    }
    return next((what for what, good in checks.items() if not good), "")


def as_json(report: SiteReport) -> dict[str, Any]:
    told = {name: getattr(report, name) for name in asdict(report) if name not in ("test", "photos")}
    photos = [{"sha256": p.sha256, "media_type": p.media_type, "caption": p.caption} for p in report.photos]
    test = None if report.test is None else report.test.as_json()
    return {"format": FORMAT, **told, "test": test, "photos": photos}


def from_data(told: Any) -> SiteReport:
    """The inverse of `as_json`, without the pictures' bytes. Raises BadReport."""
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise BadReport("this is no site report of a version that is known here")
    fields = {name: value for name, value in told.items() if name != "format"}
    try:
        fields["test"] = None if fields["test"] is None else from_json(fields["test"])
        fields["photos"] = tuple(Picture(**each) for each in fields["photos"])
        for name in ("latitude", "longitude", "height_m"):
            number = fields[name]
            if number is not None and (type(number) not in (int, float) or not math.isfinite(number)):
                raise TypeError(name)
        made = SiteReport(**fields)
        if not all(isinstance(value, str) for value in (made.id, made.device, made.made_at, *_words(made))):
            raise TypeError("text")
        return checked(made)
    except (TypeError, ValueError, KeyError, ProvisioningError) as wrong:
        raise BadReport(f"its data cannot be read: {wrong}") from wrong


def _words(report: SiteReport) -> tuple[str, ...]:
    return (report.technician, report.received_by, report.site, report.district, report.note)


def signed(page: str, key: Ed25519PrivateKey) -> bytes:
    """The page with its signature."""
    content = page.encode()
    if not content.endswith(b"\n"):
        content += b"\n"
    raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
    seal = {
        "alg": "Ed25519",
        "key": base64.b64encode(key.public_key().public_bytes(*raw)).decode(),
        "sig": base64.b64encode(key.sign(CONTEXT + content)).decode(),
    }
    encoded = base64.b64encode(json.dumps(seal, separators=(",", ":")).encode())
    return content + b"<!-- lamppost-site-report " + encoded + b" -->\n"


def verify(document: bytes) -> Verified:
    """Raises BadReport, which says what is wrong. Whose key it is, is for the caller to compare."""
    if len(document) > REPORT_MAX_BYTES:
        raise BadReport(f"a site report has at most {REPORT_MAX_BYTES >> 20} MiB")
    start = document.rfind(b"<!-- lamppost-site-report ")
    found = _TRAILER.fullmatch(document[start:]) if start >= 0 else None
    if found is None:
        raise BadReport("it does not end with a signature", "Was it saved by a browser? Take the file itself")
    try:
        seal = json.loads(base64.b64decode(found[1], validate=True))
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(seal["key"], validate=True))
        signature = base64.b64decode(seal["sig"], validate=True)
        known = seal["alg"] == "Ed25519"
    except (binascii.Error, ValueError, KeyError, TypeError) as garbled:
        raise BadReport("its signature cannot be read") from garbled
    if not known:
        raise BadReport("it is signed in a way that is not known here")
    try:
        key.verify(signature, CONTEXT + document[:start])
    except InvalidSignature as changed:
        raise BadReport("it was changed after it was signed", "Ask for the report again") from changed
    return Verified(_read(document[:start]), fingerprint(key), hashlib.sha256(document).hexdigest())


def _read(content: bytes) -> SiteReport:
    try:
        data = _DATA.findall(content.decode())
        told = json.loads(data[0]) if len(data) == 1 else None
    except (UnicodeDecodeError, ValueError) as garbled:
        raise BadReport("its data cannot be read") from garbled
    return from_data(told)


def technician_key(path: Path) -> Ed25519PrivateKey:
    """The key in this file (PKCS#8, 0600); made where there is none. Raises WrongInput, OSError."""
    if not path.exists():
        _make_key(path)
    content = path.read_bytes()
    if path.stat().st_mode & 0o077:
        raise WrongInput(f"{path} can be read by others", f"Close it: chmod 600 {path}")
    try:
        loaded = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError) as garbled:
        raise WrongInput(f"{path} is no private key") from garbled
    if not isinstance(loaded, Ed25519PrivateKey):
        raise WrongInput(f"{path} is not an Ed25519 key")
    return loaded


def _make_key(path: Path) -> None:
    """Whole or not at all; of two that make one at once the first one's stays."""
    private_directory(path.parent)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_atomically(draft, pem)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # another was quicker
    finally:
        draft.unlink()
