"""Commands of a technician who stands at a lamppost. What they do is kept, then sent where that can be."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from provisioning.storage import PUBLIC_FILE_MODE, write_atomically
from provisioning.technician import at_the_desk, bundle, photos, report, site_test
from provisioning.technician.errors import LamppostUnreachable, WrongInput
from provisioning.technician.journal import Work, new_id
from provisioning.technician.lamppost import Lamppost
from provisioning.technician.report import Picture, SiteReport
from provisioning.technician.report_page import render
from provisioning.technician.rules import State, file_remedy, in_the_way, reason
from provisioning.technician.syncing import PHOTO, REPORT, Synced
from provisioning.technician.workshop import Workshop
from wire_contract.topics import Address

Facts = dict[str, Any]
Done = subprocess.CompletedProcess[bytes]
_FILE_NAME = re.compile(r"[^A-Za-z0-9._-]")


def test(shop: Workshop, options: argparse.Namespace) -> Facts:
    """The site test, kept for the hand-over."""
    program = tuple(options.program.split()) if options.program else ("lamppost",)
    with Lamppost(options.ssh or "", program=program, sudo=options.sudo) as post:
        found = site_test.carry_out(post, options.config, options.seconds, options.ack_within, shop.tell)
    text = json.dumps(found.as_json(), indent=1)
    write_atomically(_test_file(shop, found.device), text.encode())
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    if options.picture:
        from provisioning.technician.picture import picture

        options.picture.write_text(picture(found.courses, found.span_s), encoding="utf-8")
    lines = [
        {"ok": line.ok, "what": line.name, "detail": line.detail, "remedy": line.remedy}
        for line in found.lines
    ]
    return {
        "lamppost": found.device,
        "passed": found.passed,
        "first_ack_s": found.first_ack_s,
        "lines": lines,
        "exit": 0 if found.passed else 1,
    }


def _test_file(shop: Workshop, device: str) -> Path:
    return shop.home.folder("tests") / f"{_FILE_NAME.sub('_', device)}.json"


def handover(shop: Workshop, options: argparse.Namespace) -> Facts:
    """A signed site report: written here, kept, sent."""
    address = shop.lamppost_address(options.device)
    tested = _tested(shop, options, address)
    shown = tuple(_picture(path) for path in options.photo or ())
    known = shop.home.post(str(address))
    latitude, longitude = options.at or known.get("at") or (None, None)
    made = report.checked(
        SiteReport(
            id=new_id(),
            device=str(address),
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            technician=options.technician,
            received_by=options.received_by,
            site=options.site or known.get("site", ""),
            district=options.district or known.get("district", ""),
            latitude=latitude,
            longitude=longitude,
            height_m=options.height,
            note=options.note,
            test=tested,
            photos=shown,
        )
    )
    document = report.signed(render(made), report.technician_key(shop.home.key_file))
    found = report.verify(document)
    path = (
        options.out
        or shop.home.folder("reports") / f"{address.device}-{made.made_at[:10]}-{made.id[:8]}.html"
    )
    write_atomically(path, document, PUBLIC_FILE_MODE)
    kept = shop.keep(REPORT, address, {"report": made.id}, document, made.id)
    if latitude is not None or made.district or options.height is not None:
        place = {"latitude": latitude, "longitude": longitude, "height_m": options.height}
        shop.keep("place", address, place | ({"district": made.district} if made.district else {}))
    facts = {"report": str(path), "passed": made.passed, "key": found.key_fingerprint}
    return facts | _sent(shop, kept)


def _tested(shop: Workshop, options: argparse.Namespace, address: Address) -> site_test.SiteTest | None:
    """The site test of --test, or the newest of this lamppost. Raises WrongInput where there is none."""
    if options.untested:
        return None
    path = options.test or _test_file(shop, str(address))
    try:
        return site_test.from_json(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise WrongInput(
            f"{address} has no site test", "lamppost provision test; or --untested, which the report says"
        ) from None
    except (OSError, ValueError) as error:
        raise WrongInput(f"{path}: is no site test") from error


def _picture(path: Path) -> Picture:
    """FILE, its name the caption. Raises WrongInput."""
    try:
        content = photos.stripped(path.read_bytes())
    except OSError as error:
        raise WrongInput(f"{path}: {error.strerror}") from error
    caption = path.stem.replace("_", " ")[:100]
    return Picture(hashlib.sha256(content).hexdigest(), photos.media_type(content), caption, content)


def photo(shop: Workshop, options: argparse.Namespace) -> Facts:
    """A picture of the post; what the camera wrote into it is taken out unless it is asked for."""
    address = shop.lamppost_address(options.device)
    try:
        given = options.file.read_bytes()
    except OSError as error:
        raise WrongInput(f"{options.file}: {error.strerror}") from error
    kept_bytes = photos.stripped(given)
    if options.keep_metadata:
        kept_bytes = given
    body = {
        "caption": options.caption,
        "media_type": photos.media_type(kept_bytes),
        "keep_metadata": options.keep_metadata,
    }
    return {"bytes": len(kept_bytes)} | _sent(shop, shop.keep(PHOTO, address, body, kept_bytes))


def place(shop: Workshop, options: argparse.Namespace) -> Facts:
    """Where it stands, how high its sensors are."""
    latitude, longitude = options.at or (None, None)
    told = {
        "latitude": latitude,
        "longitude": longitude,
        "district": options.district,
        "height_m": options.height,
    }
    body = {name: value for name, value in told.items() if value is not None}
    if not body:
        raise WrongInput("nothing was told", "Give --at, --district or --height")
    if options.reason:
        body["reason"] = options.reason
    return _sent(shop, shop.keep("place", shop.lamppost_address(options.device), body))


def calibrate(shop: Workshop, options: argparse.Namespace) -> Facts:
    """corrected = slope * raw + offset + humidity * RH, from now or --from on."""
    if options.slope is options.offset is options.humidity is None:  # else it is the raw values' own
        raise WrongInput(
            "nothing says what its values become",
            "Give --slope, --offset or --humidity; --slope 1 takes the raw values as they are",
        )
    body = {
        "channel": options.channel,
        "slope": 1.0 if options.slope is None else options.slope,
        "offset": options.offset or 0.0,
        "humidity": options.humidity or 0.0,
        "source": options.source,
    }
    if options.unit is not None:
        body["sensor_unit"] = options.unit
    if options.since is not None:
        body["valid_from"] = options.since.isoformat()
    if options.reason:
        body["reason"] = options.reason
    return _sent(shop, shop.keep("calibrate", shop.lamppost_address(options.device), body))


def replace_unit(shop: Workshop, options: argparse.Namespace) -> Facts:
    """Another sensor in the same place: the lamppost's configuration first, then the site's history."""
    address = shop.lamppost_address(options.device)
    body = {
        "sensor": options.sensor,
        "old_serial": options.old_serial,
        "new_serial": options.new_serial,
        "reason": options.reason,
    }
    facts: Facts = {}
    if options.config is not None:
        with Lamppost(options.ssh or "", sudo=options.sudo) as post:
            change_serial(post, options.config, options.sensor, options.new_serial, sudo=options.sudo)
        facts["configuration"] = f"{options.config}: serial = {options.new_serial!r}; restart the agent"
    return facts | _sent(shop, shop.keep("replace-unit", address, body))


def change_serial(post: Lamppost, config: str, sensor: str, serial: str, *, sudo: bool = False) -> None:
    """Give the sensor its serial number in the agent.toml there. Raises LamppostUnreachable, BadSetting."""
    root = ("sudo",) if sudo else ()
    read = post.run([*root, "cat", "--", config])
    if read.returncode != 0:
        raise LamppostUnreachable(f"{config} cannot be read there: {_why(read)}", _remedy(read, sudo))
    changed = bundle.with_serial(read.stdout.decode(), sensor, serial)
    # beside it, with its owner and mode, then in its place: a power cut leaves the one or the other
    steps = 'cp -p -- "$0" "$0.new" && cat > "$0.new" && sync && mv -- "$0.new" "$0"'
    written = post.run([*root, "sh", "-c", steps, config], changed.encode())
    if written.returncode != 0:
        raise LamppostUnreachable(
            f"{config} cannot be written there: {_why(written)}", _remedy(written, sudo)
        )


def _why(done: Done) -> str:
    return reason(done.stderr.decode(errors="replace"))


def _remedy(done: Done, sudo: bool) -> str:
    """sudo helps where the file is root's, and nowhere else."""
    return file_remedy(done.stderr.decode(errors="replace"), sudo=sudo)


def replace_device(shop: Workshop, options: argparse.Namespace) -> Facts:
    """A bundle for the computer that takes the name and the history of the old one."""
    address = shop.lamppost_address(options.device)
    options.replaces = True
    facts = at_the_desk.bundle(shop, options)
    body = {"claim": facts["claim"], "reason": options.reason}
    return facts | _sent(shop, shop.keep("replace-device", address, body))


def decommission(shop: Workshop, options: argparse.Namespace) -> Facts:
    """Out for good: its certificates are revoked, what it measured stays."""
    address = shop.lamppost_address(options.device)
    if not options.yes and not _agreed(
        f"{address} will be shut out for good. Its name, once more: ", address
    ):
        raise WrongInput("nothing was done", "Type its name, or give --yes")
    return _sent(shop, shop.keep("decommission", address, {"reason": options.reason}))


def _agreed(question: str, address: Address) -> bool:
    if not sys.stdin.isatty():
        return False
    return input(question).strip() in (address.device, str(address))


def note(shop: Workshop, options: argparse.Namespace) -> Facts:
    """A line in the site's history."""
    return _sent(shop, shop.keep("note", shop.lamppost_address(options.device), {"text": options.text}))


def _sent(shop: Workshop, work: Work) -> Facts:
    """What became of it: sent, refused, or kept until there is a connection."""
    if shop.offline:
        return {"work": work.id[:8], "state": "kept; send it later: lamppost provision sync"}
    done: Synced = shop.send()
    mine = next((each for each in shop.journal.all() if each.id == work.id), replace(work))
    status = {"sent": 0, "conflict": 1}.get(str(mine.state), 4)
    facts: Facts = {"work": work.id[:8], "state": str(mine.state)}
    if status == 1:
        facts["refused"] = f"{mine.detail}; `lamppost provision sync --retry {work.id[:8]}`, or --drop"
    elif status == 4:
        facts["kept"] = _why_kept(mine, done, shop.journal.open())
    return facts | {"exit": status}


def _why_kept(mine: Work, done: Synced, everything: list[Work]) -> str:
    """And what to do about it, where that is the technician's. everything: in its order."""
    if mine in done.elsewhere:
        return "it was done for another city: sign in there, then `lamppost provision sync`"
    here = {each.id: each for each in everything if each not in done.elsewhere}
    way = in_the_way([each.waiting for each in here.values()], mine.id, done.held)
    if way is None or done.stopped:
        return mine.detail or done.stopped or "something before it waits: lamppost provision journal"
    before = here[way.id]
    what = f"{before.id[:8]} ({before.kind}) stands before it"
    if before.state is not State.CONFLICT:
        return f"{what} and waits for a second person; or `lamppost provision sync --drop {before.id[:8]}`"
    sync = f"lamppost provision sync --retry {before.id[:8]}"
    return f"{what} and was refused: {before.detail}; `{sync}`, or `--drop {before.id[:8]}`"
