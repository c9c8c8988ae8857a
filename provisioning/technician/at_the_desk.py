"""Commands that need no lamppost beside them: sign in, claims, bundles, labels, reports, the journal."""

from __future__ import annotations

import argparse
import getpass
import sys
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from provisioning.claims import parse_token_text
from provisioning.storage import PUBLIC_FILE_MODE, write_atomically
from provisioning.technician import agent_check, delivering, label, report
from provisioning.technician import bundle as bundles
from provisioning.technician.bundle import Bundle, Sensor
from provisioning.technician.errors import (
    BadReport,
    LamppostUnreachable,
    NotWritten,
    ServerRefused,
    TechnicianError,
    WrongInput,
)
from provisioning.technician.home import Settings, locked
from provisioning.technician.lamppost import Lamppost
from provisioning.technician.rules import Event, State
from provisioning.technician.server import path_of
from provisioning.technician.signing_in import session_token
from provisioning.technician.workshop import Workshop
from wire_contract.topics import Address

Facts = dict[str, Any]
NO_CLAIM = "22222222." + "0" * 27  # its form alone: for a bundle that is only checked
CLAIM_S = 300  # a computer that is reached now needs it for minutes
CARRIED_S = 24 * 3600  # what is carried to a post, or sent with packages over a slow link
REPLACE_UNIT = "replace-unit"  # the kind of work, as the server calls it
WITHDRAW = "lamppost fleet claim withdraw {}"  # the desk's, on the server


def sign_in(shop: Workshop, options: argparse.Namespace) -> Facts:
    """Asks for name and password on the terminal; nothing of it is in the command line."""
    address = options.server or shop.known.server
    if not address:
        raise WrongInput("which server?", "Give --server https://HOST")
    if options.name:
        password = getpass.getpass(f"Password of {options.name}: ") if sys.stdin.isatty() else _line()
        token = session_token(address, options.name, password, _code, shop.ca_file)
        shop.home.keep_token(token)
    with closing(replace(shop, address=address).server()) as server:
        settings = shop.ask_settings(server)
        who = server.get("/api/v1/session")["name"] if options.name else "a token"
    return {"signed_in_as": who, "server": address, "city": settings.tenant, "pages": settings.pages_url}


def _line() -> str:
    return sys.stdin.readline().rstrip("\n")


def _code() -> str:
    if not sys.stdin.isatty():
        return _line()
    return input("Code of your authenticator, or a recovery code: ").strip()


def claims(shop: Workshop, options: argparse.Namespace) -> Facts:
    """Claims in advance, into the technician's folder."""
    body = {"number": options.number, "valid_for_s": options.hours * 3600, "district": options.district}
    with closing(shop.server()) as server:
        shop.ask_settings(server)
        body["technician"] = options.technician or server.get("/api/v1/session")["name"]
        made = server.post("/api/v1/claim-batches", body)
    tokens = [str(each) for each in made["tokens"]]
    path = options.out or shop.claims_file
    with locked(path.parent):
        had = path.read_text(encoding="ascii") if path.exists() else ""
        write_atomically(path, (had + "".join(f"{token}\n" for token in tokens)).encode())
    return {"claims": len(tokens), "waiting": len((had + "\n".join(tokens)).split()), "file": str(path)}


def bundle(shop: Workshop, options: argparse.Namespace) -> Facts:
    """What a lamppost's computer is given, and where it was put. A claim is taken when all else is well."""
    settings = _settings(shop)
    address = shop.lamppost_address(options.device)
    latitude, longitude = options.at or (None, None)
    wanted = Bundle(
        address=address,
        settings=settings,
        claim=NO_CLAIM,
        site=options.site,
        sensors=_sensors(shop, options, address),
        latitude=latitude,
        longitude=longitude,
        wait_for_time=not options.has_clock,
    )
    whole = bundles.files(wanted)
    agent_check.check(whole[bundles.PRIVATE])
    more = delivering.packages(options.packages) if options.packages else {}
    with ExitStack() as held:
        post = held.enter_context(Lamppost(options.ssh)) if options.ssh else None
        folder = options.out or Path(f"bundle-{address.device}")
        if post is not None:
            delivering.check_ssh(post, replace=options.force)
        elif options.card:
            delivering.check_card(options.card, {**whole, **more}, replace=options.force)
        else:
            delivering.check_folder(folder, replace=options.force)
        made = replace(wanted, claim=_claim(shop, options, address))
        files = {**bundles.files(made), **more}
        try:
            if post is not None:
                where = delivering.over_ssh(files, post)
            elif options.card:
                where = str(delivering.to_card(files, options.card, replace=options.force))
            else:
                where = str(delivering.to_folder(files, folder))
        except (NotWritten, WrongInput, LamppostUnreachable):
            _take_back(shop, options, made.claim_id)
            raise
    told = {"site": options.site, "district": options.district, "at": options.at}
    shop.home.keep_post(str(address), told)
    facts: Facts = {"post": str(address), "claim": made.claim_id, "written_to": where}
    if options.card:
        facts["card"] = "may be taken out; whoever has it can read its claim: FAT has no owners. Lost? "
        facts["card"] += WITHDRAW.format(made.claim_id)
    return facts | {
        "next": "on it: sudo sh install.sh; compare its fingerprint and accept it: " + made.label.url,
    }


def _sensors(shop: Workshop, options: argparse.Namespace, address: Address) -> tuple[Sensor, ...]:
    """With their serial numbers: as told, else as the site's history has them, so that another computer goes
    on with the same units. Raises BadSetting, and as the server does."""
    found = [bundles.sensor_of(each) for each in options.sensor or ()]
    told = dict(bundles.serial_of(each) for each in options.serial or ())
    unknown = sorted(told.keys() - {each.name for each in found})
    if unknown:
        raise WrongInput(f"--serial {unknown[0]!r:.64}: there is no --sensor of this name")
    known = _serials_of(shop, address) if options.replaces and found else {}
    return tuple(replace(each, serial=told.get(each.name, known.get(each.name, ""))) for each in found)


def _serials_of(shop: Workshop, address: Address) -> dict[str, str]:
    """Sensor name to serial number, by the newest change of each: the server's word, and what waits here."""
    waiting = [each for each in shop.journal.open() if each.device == str(address)]
    done = [(each.done_at, each.body) for each in waiting if each.kind == REPLACE_UNIT]
    if not shop.offline:
        with closing(shop.server()) as server:
            told = server.get(path_of("devices", address.tenant, address.device, "history"), limit="200")
        done += [(each["done_at"], each["body"]) for each in told if each["kind"] == REPLACE_UNIT]
    done.sort(key=lambda each: datetime.fromisoformat(each[0]))
    return {body["sensor"]: body["new_serial"] for _, body in done}


def _settings(shop: Workshop) -> Settings:
    """What is known of the city; asked for where it never was. Raises as the server does."""
    if not shop.known.trust_pem and not shop.offline:
        with closing(shop.server()) as server:
            shop.ask_settings(server)
    return shop.known


def _claim(shop: Workshop, options: argparse.Namespace, address: Address) -> str:
    """From --claim-file, from those fetched in advance (offline), else a new one from the server."""
    if options.claim_file:
        return take_claim(options.claim_file)
    if shop.offline:
        return take_claim(shop.claims_file)
    latitude, longitude = options.at or (None, None)
    body = {
        "device": address.device,
        "site": options.site,
        "district": options.district,
        "latitude": latitude,
        "longitude": longitude,
        "replaces": options.replaces,
        "expires_in_s": CLAIM_S if options.ssh and not (options.packages or options.replaces) else CARRIED_S,
    }
    with closing(shop.server()) as server:
        try:
            return str(server.post("/api/v1/claims", body)["token"])
        except ServerRefused as refused:
            if refused.status != 409:
                raise
            remedy = f"Another computer for it? lamppost provision replace device {address.device}"
            raise ServerRefused(409, refused.kind, refused.what, remedy) from refused


def _take_back(shop: Workshop, options: argparse.Namespace, claim_id: str) -> None:
    """A claim whose bundle could not be written: half of it may be on a card. Said, where that fails too."""
    withdrawn = False
    if not (options.claim_file or shop.offline):
        try:
            with closing(shop.server()) as server:
                server.delete(path_of("claims", claim_id))
            withdrawn = True
        except TechnicianError:
            pass
    told = "was withdrawn" if withdrawn else f"is still open: {WITHDRAW.format(claim_id)}"
    shop.tell(f"its claim {claim_id} {told}")


def take_claim(file: Path) -> str:
    """The file's first claim, which is taken out of it: a power cut loses one claim and uses none twice, and
    of two commands at once each gets its own."""
    try:
        with locked(file.parent):
            return _first_claim(file)
    except FileNotFoundError:
        raise WrongInput(
            f"{file}: there are no claims", "lamppost provision claims, while connected"
        ) from None


def _first_claim(file: Path) -> str:
    try:
        lines = file.read_text(encoding="ascii").split()
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise WrongInput(f"{file}: cannot be read") from error
    if file.stat().st_mode & 0o077:
        raise WrongInput(f"{file} can be read by others", f"Close it: chmod 600 {file}")
    if not lines or parse_token_text(lines[0]) is None:
        raise WrongInput(f"{file}: holds no claim, one <id>.<secret> a line")
    write_atomically(file, "".join(f"{line}\n" for line in lines[1:]).encode())
    return lines[0]


def show_label(shop: Workshop, options: argparse.Namespace) -> Facts:
    """Prints it into a file or onto the terminal."""
    pages = options.pages or shop.known.pages_url
    made = label.Label(pages, options.claim, options.device or options.claim, options.site)
    if options.out is None:
        if not options.json:
            print(label.terminal(made, coloured=sys.stdout.isatty()))
        return {"url": label.checked(made).url}
    write_atomically(options.out, label.file_bytes(made, options.out.suffix), PUBLIC_FILE_MODE)
    return {"url": made.url, "written_to": str(options.out)}


def history(shop: Workshop, options: argparse.Namespace) -> Facts:
    """What was done at a post, its site reports, its pictures, as the server has them."""
    address = shop.lamppost_address(options.device)
    with closing(shop.server()) as server:
        device = path_of("devices", address.tenant, address.device)
        done = server.get(f"{device}/history")
        reports = server.get(path_of("field", "reports"), device=str(address))
        photos = server.get(f"{device}/photos")
    return {
        "history": [
            {"done_at": each["done_at"], "what": each["kind"], "by": each["done_by"], "id": each["id"]}
            | {"told": ", ".join(f"{k} {v}" for k, v in each["body"].items() if v not in (None, ""))}
            for each in done
        ],
        "reports": [
            {"made_at": each["made_at"], "what": "report", "by": each["technician"], "report": each["id"]}
            for each in reports
        ],
        "photos": [
            {"received_at": each["received_at"], "what": "photo", "by": each["sent_by"]}
            | {"photo": each["sha256"], "caption": each["caption"]}
            for each in photos
        ],
    }


def get_report(shop: Workshop, options: argparse.Namespace) -> Facts:
    """A site report from the server, checked before it is kept. Raises BadReport."""
    with closing(shop.server()) as server:
        document = server.get_bytes(path_of("field", "reports", options.report, "document"))
    found = report.verify(document)
    path = options.out or Path(f"site-report-{found.report.id[:8]}.html")
    write_atomically(path, document, PUBLIC_FILE_MODE)
    return {"report": found.report.id, "key": found.key_fingerprint, "written_to": str(path)}


def verify_report(_shop: Workshop, options: argparse.Namespace) -> Facts:
    """Raises BadReport where it is not what was signed, or signed by another key."""
    try:
        document = options.report.read_bytes()
    except OSError as error:
        raise WrongInput(f"{options.report}: {error.strerror}") from error
    found = report.verify(document)
    if options.fingerprint and options.fingerprint.lower() != found.key_fingerprint:
        raise BadReport(
            f"it is signed by {found.key_fingerprint}, not by {options.fingerprint}",
            "Ask the technician for the fingerprint of their key: lamppost provision key",
        )
    r = found.report
    return {
        "report": r.id,
        "lamppost": r.device,
        "handed_over_by": r.technician,
        "made_at": r.made_at,
        "site_test": "passed" if r.passed else "NOT passed" if r.test else "none",
        "signature": "right: not a byte was changed since",
        "key": found.key_fingerprint,
        "key_compared": "yes" if options.fingerprint else "no: give --fingerprint",
        "sha256": found.sha256,
    }


def key(shop: Workshop, _options: argparse.Namespace) -> Facts:
    """The fingerprint of this technician's key, for those who verify reports."""
    from provisioning.requests import fingerprint

    private = report.technician_key(shop.home.key_file)
    return {"key": fingerprint(private.public_key()), "file": str(shop.home.key_file)}


def sync(shop: Workshop, options: argparse.Namespace) -> Facts:
    """Send what waits; `--retry` and `--drop` decide on what was refused."""
    for start, event in ((options.retry, Event.RETRY), (options.drop, Event.DROP)):
        if start:
            shop.journal.became(shop.journal.find(start), event, "by the technician")
    done = shop.send()
    refused = {each.id[:8]: f"{each.device} {each.kind}: {each.detail}" for each in done.conflicts}
    facts: Facts = {"sent": len(done.sent), "waiting": len(done.waiting), "refused": refused or "none"}
    if refused:
        facts["then"] = "what follows at the same lamppost waits: sync --retry ID, or sync --drop ID"
    if done.elsewhere:
        facts["of_another_city"] = f"{len(done.elsewhere)}, not sent: sign in there; or --drop ID"
    if done.stopped:
        facts["stopped"] = done.stopped
    later = done.stopped or done.waiting or done.elsewhere
    facts["exit"] = 1 if done.conflicts else 4 if later else 0
    return facts


def journal(shop: Workshop, options: argparse.Namespace) -> Facts:
    """What was done, and what the server has of it."""
    shown = [each for each in shop.journal.all() if options.all or each.state is not State.SENT]
    return {
        "work": [
            {
                "id": each.id[:8],
                "done_at": each.done_at,
                "lamppost": each.device,
                "what": each.kind,
                "state": str(each.state),
                "detail": each.detail,
            }
            for each in shown
        ]
    }
