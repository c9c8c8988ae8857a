"""Keys and certificates of simulated lampposts: made here, certified by the city, kept for the next run.

    DIRECTORY/identities/NAME.pem     chain and key together, for its owner's eyes only

A server on this machine lets them in by `lamppost fleet enrolments admit`, which claims, asks and accepts for
each as people would. An authority on this machine (`--authority`) only signs: a server then writes them down
as quarantined, and keeps what they send in its dead letters until an operator activates them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from provisioning.authority import Authority
from provisioning.errors import ProvisioningError
from simulator.settings import CannotStart, Settings, Where
from simulator.street import stand
from wire_contract.topics import Address

LEFT_AT_LEAST = timedelta(days=1)  # a certificate that ends sooner is made anew
LOOK_S = 0.5
Progress = Callable[[int, int], None]


def prepare(settings: Settings, progress: Progress) -> int:
    """Give every lamppost that has none a certificate. Returns how many were made. Raises CannotStart.

    Can be interrupted and done again: what is in the directory is kept.
    """
    settings.identities.mkdir(parents=True, exist_ok=True, mode=0o700)
    missing = [name for name in settings.names if not is_good(settings.identities / f"{name}.pem")]
    if not missing:
        return 0
    where = settings.where
    if where.authority is not None:
        _sign_here(settings, where.authority, missing, progress)
    elif where.server_data is not None or where.server_config is not None:
        _have_admitted(settings, missing, progress)
    else:
        raise CannotStart(
            f"{settings.identities} has no certificate of {missing[0]}"
            + (f" and {len(missing) - 1} others" if missing[1:] else "")
            + ". Name the server (--server-data) or the authority (--authority) that gives them."
        )
    return len(missing)


def is_good(file: Path) -> bool:
    """Is there a certificate that holds for a while?"""
    try:
        leaf = x509.load_pem_x509_certificate(file.read_bytes())
    except (OSError, ValueError):
        return False
    return leaf.not_valid_after_utc > datetime.now(UTC) + LEFT_AT_LEAST


def _new_key(address: Address) -> tuple[bytes, str]:
    """A certificate request (DER), and the key (PEM)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(address))])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return request.public_bytes(serialization.Encoding.DER), pem.decode("ascii")


def _keep(settings: Settings, name: str, chain_pem: str, key_pem: str) -> None:
    """Not flushed to the disk one by one: after a power cut it is made anew."""
    file = settings.identities / f"{name}.pem"
    draft = file.with_suffix(".part")
    draft.touch(mode=0o600)
    draft.write_text(chain_pem + key_pem, encoding="ascii")
    draft.replace(file)


def _sign_here(settings: Settings, directory: Path, names: Sequence[str], progress: Progress) -> None:
    try:
        authority = Authority.load_issuing(directory)
        for number, name in enumerate(names):
            address = Address(settings.where.tenant, name)
            request, key = _new_key(address)
            _keep(settings, name, authority.issue_device(request, address), key)
            progress(number + 1, len(names))
    except (ProvisioningError, OSError) as error:
        raise CannotStart(f"--authority {directory}: {error}") from None


# -- a server on this machine -----------------------------------------------------------------------------


def fleet(where: Where, *words: str) -> list[str]:
    """A `lamppost fleet` command for this server."""
    command = [sys.executable, "-m", "lamppost", "fleet", *words]
    if where.server_config is not None:
        command += ["--config", str(where.server_config)]
    if where.server_data is not None:
        command += ["--data", str(where.server_data)]
    return command


def _have_admitted(settings: Settings, names: Sequence[str], progress: Progress) -> None:
    """Write the requests, let the server's command answer them, put answer and key together."""
    requests, answers = settings.directory / "requests.jsonl", settings.directory / "admitted.jsonl"
    keys = {}
    numbers = {name: number for number, name in enumerate(settings.names)}
    with requests.open("w", encoding="utf-8") as file:
        for name in names:
            request, keys[name] = _new_key(Address(settings.where.tenant, name))
            file.write(json.dumps(_wish(name, request, numbers[name], settings.devices)) + "\n")
    answers.unlink(missing_ok=True)
    command = fleet(
        settings.where, "enrolments", "admit", str(requests), "--answers", str(answers), "--replace"
    )
    log = settings.directory / "admit.log"
    kept = 0
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as running:
        told = 0
        try:
            while running.poll() is None:
                time.sleep(LOOK_S)
                for name, chain_pem in _answered(answers, kept):
                    _keep(settings, name, chain_pem, keys[name])
                    kept += 1
                if kept > told:
                    told = kept
                    progress(kept, len(names))
        except BaseException:
            running.terminate()
            raise
    for name, chain_pem in _answered(answers, kept):
        _keep(settings, name, chain_pem, keys[name])
        kept += 1
    for file_ in (requests, answers):
        file_.unlink(missing_ok=True)
    if running.returncode != 0 or kept < len(names):
        words = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise CannotStart(
            f"the server let in {kept} of {len(names)} lampposts: {words[-1] if words else 'it said nothing'}"
        )
    progress(kept, len(names))


def _wish(name: str, request: bytes, index: int, of: int) -> dict[str, object]:
    where = stand(index, of)
    return {
        "device": name,
        "csr": request.hex(),
        "site": "simulated",
        "latitude": where.latitude,
        "longitude": where.longitude,
        "district": where.district,
    }


def _answered(answers: Path, after: int) -> Iterator[tuple[str, str]]:
    """(name, chain) of every whole line after so many."""
    if not answers.exists():
        return
    with answers.open(encoding="utf-8") as file:
        for number, line in enumerate(file):
            if number >= after and line.endswith("\n"):
                told = json.loads(line)
                yield told["device"], told["chain"]


def remove(settings: Settings, progress: Progress) -> int:
    """Have the server decommission every lamppost that has a certificate here, and forget the keys.

    Returns how many. Raises CannotStart.
    """
    names = sorted(file.stem for file in settings.identities.glob(f"{settings.prefix}-*.pem"))
    where = settings.where
    step = 100  # names a command line holds, and a progress line is worth
    if where.server_data is not None or where.server_config is not None:
        for first in range(0, len(names), step):
            some = names[first : first + step]
            done = subprocess.run(
                fleet(where, "lamppost", "decommission", *some), capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                said = (done.stderr or done.stdout).strip().splitlines()
                raise CannotStart(f"the server refused: {said[-1] if said else done.returncode}")
            for name in some:
                (settings.identities / f"{name}.pem").unlink(missing_ok=True)
            progress(first + len(some), len(names))
    else:
        for name in names:
            (settings.identities / f"{name}.pem").unlink(missing_ok=True)
    if settings.identities.is_dir() and not any(settings.identities.iterdir()):
        os.rmdir(settings.identities)  # noqa: PTH106
    return len(names)
