"""What technicians tell is carried out once, by those who may, in their own city; garbage has an answer."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text

from fleet_server.access import service as access
from fleet_server.access.rules import CONSOLE, Principal, Role
from fleet_server.devices import service as devices
from fleet_server.devices.rules import DeviceState
from fleet_server.devices.service import Place
from fleet_server.errors import Conflict, Forbidden, Gone, InvalidRequest, NotFound
from fleet_server.technician import service
from fleet_server.technician.rules import REPORTS_KEPT
from fleet_server.technician.service import Kind, NewWork
from provisioning.technician import report
from provisioning.technician.report_page import render
from tests.dashboards.city import City
from tests.fleet_server.technician.conftest import ANA, FAR, LAMP, PASSWORD, VIC, Town
from tests.provisioning.technician.test_photos import JPEG, PLACE
from tests.provisioning.technician.test_report import REPORT
from tests.support.server_context import ADMIN
from wire_contract.topics import Address

HOUR = timedelta(hours=1)


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def told(
    number: int, kind: Kind, body: dict[str, Any], done_at: datetime | None = None, lamp: Address = LAMP
) -> NewWork:
    return NewWork(f"{number:032x}", kind, lamp, done_at or now(), body)


def test_work_is_carried_out_once_and_written_into_the_sites_history(town: Town) -> None:
    place = told(1, Kind.PLACE, {"latitude": 41.1, "longitude": -8.6, "district": "Harbour", "height_m": 3.5})
    first = service.do_work(town.ctx, ANA, place)
    assert service.do_work(town.ctx, ANA, place) == first, "told again, the answer is the same"
    record = devices.get_device(town.ctx, ADMIN, LAMP).record
    assert (record.latitude, record.longitude, record.district) == (41.1, -8.6, "Harbour")
    with pytest.raises(Conflict):
        service.do_work(town.ctx, ANA, replace(place, body={"district": "Elsewhere"}))
    service.do_work(town.ctx, ANA, told(2, Kind.NOTE, {"text": "the lid is loose"}, now() - HOUR))
    assert service.site_history(town.ctx, VIC, LAMP)[0].done_by != "ana", "who only looks sees initials"
    history = service.site_history(town.ctx, ANA, LAMP)
    assert [each.kind for each in history] == [Kind.PLACE, Kind.NOTE], "by when it was done"
    assert history[0].body["height_m"] == 3.5
    assert history[0].done_by == "ana"


def test_what_was_done_before_something_newer_is_refused_and_nothing_changes(town: Town) -> None:
    lamp = Address("city", "lamp-08")
    service.do_work(town.ctx, ANA, told(11, Kind.PLACE, {"district": "New"}, lamp=lamp))
    late = told(12, Kind.PLACE, {"district": "Old"}, now() - HOUR, lamp)
    with pytest.raises(Conflict, match="ana did place"):
        service.do_work(town.ctx, ANA, late)
    assert devices.get_device(town.ctx, ADMIN, lamp).record.district == "New"
    service.do_work(town.ctx, ANA, told(13, Kind.REPLACE_DEVICE, {"reason": "drowned"}, lamp=lamp))
    with pytest.raises(Conflict):
        service.do_work(town.ctx, ANA, told(14, Kind.DECOMMISSION, {"reason": "x"}, now() - HOUR, lamp))
    assert devices.get_device(town.ctx, ADMIN, lamp).record.state is DeviceState.ACTIVE


def test_who_may(town: Town) -> None:
    note = told(21, Kind.NOTE, {"text": "x"})
    with pytest.raises(Forbidden):
        service.do_work(town.ctx, VIC, note)
    for act in (
        lambda: service.do_work(town.ctx, FAR, note),
        lambda: service.site_history(town.ctx, FAR, LAMP),
        lambda: service.list_photos(town.ctx, FAR, LAMP),
        lambda: service.put_photo(town.ctx, FAR, LAMP, JPEG),
        lambda: service.list_reports(town.ctx, FAR, LAMP),
    ):
        with pytest.raises((Forbidden, NotFound)):
            act()  # type: ignore[no-untyped-call]
    with pytest.raises(NotFound):
        service.do_work(town.ctx, ANA, told(22, Kind.NOTE, {"text": "x"}, lamp=Address("city", "nobody")))


def report_of(number: int, key: Ed25519PrivateKey, **more: Any) -> tuple[str, bytes]:
    made = replace(
        REPORT, id=f"{number:032x}", device=str(LAMP), made_at=now().isoformat(), test=None, **more
    )
    return made.id, report.signed(render(report.checked(made)), key)


def test_a_report_is_kept_as_it_was_signed_and_its_key_is_remembered(town: Town) -> None:
    mine, another = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    number, document = report_of(31, mine)
    first = service.put_report(town.ctx, ANA, number, document)
    assert first.key_known, "the first key of an account is taken"
    assert service.put_report(town.ctx, ANA, number, document) == first
    assert service.report_document(town.ctx, ANA, number) == document
    with pytest.raises(Forbidden):
        service.report_document(town.ctx, VIC, number)
    assert not service.put_report(town.ctx, ANA, *report_of(32, another)).key_known
    assert service.put_report(town.ctx, ANA, *report_of(33, mine)).key_known
    with pytest.raises(Conflict):
        service.put_report(town.ctx, ANA, *report_of(31, mine, note="another"))
    with pytest.raises(NotFound):
        service.get_report(town.ctx, FAR, number)
    assert service.list_reports(town.ctx, FAR) == []
    assert {each.id for each in service.list_reports(town.ctx, VIC, LAMP)} >= {number}
    kinds = [each.kind for each in service.site_history(town.ctx, VIC, LAMP)]
    assert kinds.count(Kind.HANDOVER) == 3


def test_a_post_keeps_the_newest_files_and_the_first_and_says_of_the_others_why(town: Town) -> None:
    lamp, key = Address("city", "lamp-09"), Ed25519PrivateKey.generate()
    begin = now()

    def handed_over(number: int) -> tuple[str, bytes]:
        made = replace(
            REPORT, id=f"{number:032x}", device=str(lamp), made_at=begin.isoformat(), test=None, photos=()
        )
        document = report.signed(render(report.checked(made)), key)
        service.put_report(town.ctx, ANA, made.id, document, now=begin + timedelta(seconds=number))
        return made.id, document

    sent = [handed_over(number) for number in range(100, 100 + REPORTS_KEPT + 3)]
    told = httpx.Client(base_url=town.url, headers={"Authorization": f"Bearer {town.token()}"})
    with told:
        answers = [told.get(f"/api/v1/field/reports/{number}/document") for number, _ in sent]
        kept = [answer.content == document for answer, (_, document) in zip(answers, sent, strict=True)]
        assert kept == [True, False, False] + [True] * REPORTS_KEPT
        refused = answers[1].json()
        assert (answers[1].status_code, "newer ones came" in refused["detail"]) == (410, True)
        assert hashlib.sha256(sent[1][1]).hexdigest() in answers[1].text
        assert len(service.list_reports(town.ctx, ANA, lamp)) == len(sent), "who and when stays"
        with town.ctx.db.session() as session:  # as fleet_server.privacy empties it
            session.execute(text("UPDATE site_report SET document = '' WHERE id = :id"), {"id": sent[-1][0]})
        erased = told.get(f"/api/v1/field/reports/{sent[-1][0]}/document")
        assert (erased.status_code, "was erased" in erased.json()["detail"]) == (410, True)
    assert service.put_report(town.ctx, ANA, *sent[1]).id == sent[1][0], "told again, it is known"
    assert service.put_report(town.ctx, ANA, *sent[-1]).id == sent[-1][0]


def test_nobody_pushes_out_what_another_has_handed_over(town: Town) -> None:
    """Reports upon reports, so that what a colleague has signed of this post is not kept."""
    lamp, key, begin = Address("city", "lamp-10"), Ed25519PrivateKey.generate(), now()
    devices.register(town.ctx, CONSOLE, lamp, "", Place())
    ivo = replace(ANA, name="ivo")

    def handed_over(number: int, by: Principal) -> str:
        made = replace(
            REPORT, id=f"{number:032x}", device=str(lamp), made_at=begin.isoformat(), test=None, photos=()
        )
        document = report.signed(render(report.checked(made)), key)
        return service.put_report(town.ctx, by, made.id, document, now=begin + timedelta(seconds=number)).id

    first, ivos, second = (handed_over(200 + at, by) for at, by in enumerate((ANA, ivo, ANA)))
    for number in range(203, 203 + REPORTS_KEPT):
        handed_over(number, ANA)
    assert service.report_document(town.ctx, ANA, first)
    assert service.report_document(town.ctx, ANA, ivos)
    with pytest.raises(Gone, match="newer ones came"):
        service.report_document(town.ctx, ANA, second)


def test_a_report_of_another_citys_lamppost_is_refused_and_says_nothing_of_it(town: Town) -> None:
    devices.register(town.ctx, CONSOLE, Address("gaia", "lamp-01"), "", Place())
    access.create_operator(town.ctx, CONSOLE, "ivo", PASSWORD, (Role.TECHNICIAN,), tenant="city")
    key = Ed25519PrivateKey.generate()
    with httpx.Client(
        base_url=f"{town.url}/api/v1/field/reports/",
        headers={"Authorization": f"Bearer {town.token('ivo')}"},
    ) as client:
        answers = []
        for name in ("gaia/lamp-01", "gaia/there-is-none"):
            made = replace(REPORT, id=f"{61:032x}", device=name, made_at=now().isoformat(), test=None)
            answer = client.put(made.id, content=report.signed(render(made), key))
            answers.append((answer.status_code, answer.json()["detail"].replace(name, "")))
        assert answers[0] == answers[1], "the same of one that is there and one that is not"
        assert answers[0][0] == 404
        assert client.get(f"{61:032x}").status_code == 404
    with pytest.raises((Forbidden, NotFound)):
        service.put_report(town.ctx, FAR, *report_of(62, key))


@pytest.mark.parametrize(
    "garbage", [b"", b"<html>", b"\xff\xfe", report.signed("<p>no data</p>", Ed25519PrivateKey.generate())]
)
def test_what_is_no_report(town: Town, garbage: bytes) -> None:
    with pytest.raises(InvalidRequest):
        service.put_report(town.ctx, ANA, f"{40:032x}", garbage)


def test_a_picture_says_no_longer_where_it_was_taken(town: Town) -> None:
    kept = service.put_photo(town.ctx, ANA, LAMP, JPEG, "front")
    again = service.put_photo(town.ctx, ANA, LAMP, JPEG, "the front")
    assert kept.sha256 == again.sha256
    assert [each.caption for each in service.list_photos(town.ctx, VIC, LAMP)] == ["the front"]
    found, content = service.get_photo(town.ctx, VIC, LAMP, kept.sha256)
    assert PLACE not in content
    assert found.media_type == "image/jpeg"
    wanted = service.put_photo(town.ctx, ANA, LAMP, JPEG, keep_metadata=True)
    assert service.get_photo(town.ctx, VIC, LAMP, wanted.sha256)[1] == JPEG
    for each in (kept, wanted):
        service.remove_photo(town.ctx, ANA, LAMP, each.sha256)
    with pytest.raises(NotFound):
        service.remove_photo(town.ctx, ANA, LAMP, kept.sha256)


def test_over_http_garbage_has_an_answer_and_a_document_is_not_shown(town: Town) -> None:
    with httpx.Client(
        base_url=f"{town.url}/api/v1", headers={"Authorization": f"Bearer {town.token()}"}
    ) as client:
        work, good = f"/field/work/{51:032x}", told(51, Kind.NOTE, {})
        body = {
            "kind": "note",
            "device": str(LAMP),
            "done_at": good.done_at.isoformat(),
            "body": {"text": "x"},
        }
        cases: list[tuple[str, str, Any]] = [
            ("/field/work/x", "json", body),
            (work, "json", body | {"device": "lamp-07"}),
            (work, "json", body | {"device": "city/../x"}),
            (work, "json", body | {"done_at": "2026-11-21T10:00:00"}),
            (work, "json", body | {"done_at": 10**30}),
            (work, "json", body | {"kind": "handover"}),
            (work, "json", body | {"kind": "x"}),
            (work, "json", body | {"body": {"text": "\x00"}}),
            (work, "json", body | {"body": []}),
            (work, "content", b"{"),
            (f"/field/reports/{52:032x}", "content", b"x" * 100),
            (f"/devices/{LAMP}/photos", "content", b"GIF89a"),
            (f"/devices/{LAMP}/photos?caption=%00", "content", JPEG),
            (f"/devices/{LAMP}/photos?what=1", "content", JPEG),
        ]
        for path, how, sent in cases:
            answer = client.put(path, **{how: sent})
            assert answer.status_code in (400, 422), (path, sent, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
        assert client.put(f"/devices/{LAMP}/photos", content=b"\xff" * (7 << 20)).status_code == 413
        for path in (
            "/field/labels/x",
            "/field/labels/22222222",
            "/field/reports/0",
            f"/devices/{LAMP}/photos/{'0' * 64}",
        ):
            assert client.get(path).status_code == 404, path
        assert client.put(work, json=body).status_code == 200
        number, document = report_of(53, Ed25519PrivateKey.generate())
        assert client.put(f"/field/reports/{number}", content=document).json()["device"] == str(LAMP)
        shown = client.get(f"/field/reports/{number}/document")
        assert shown.content == document
        assert shown.headers["content-disposition"].startswith("attachment")
        assert "sandbox" in shown.headers["content-security-policy"]
        assert [each["kind"] for each in client.get(f"/devices/{LAMP}/history?limit=1").json()]
        assert number in [each["id"] for each in client.get(f"/field/reports?device={LAMP}").json()]
        settings = client.get("/field/settings").json()
        assert settings["tenant"] == "city"
        assert settings["trust_pem"].count("BEGIN CERTIFICATE") == 2


def test_the_first_ack_is_measured_from_when_somebody_began(town: Town) -> None:
    lamp, city = Address("city", "lamp-09"), City(town.ctx.db.url, "city")

    def stored(sequence: int, ago_s: float, samples: int = 3, of: Address = lamp) -> datetime:
        at = datetime.now(UTC) - timedelta(seconds=ago_s)
        city.execute(
            "INSERT INTO batch (device_id, epoch, class, sequence, last, samples, received_at)"
            " SELECT id, '\\x01', 1, %s, %s, %s, %s FROM device WHERE name = %s",
            sequence, sequence, samples, at, of.device,
        )  # fmt: skip
        return at

    def ack(since: datetime | None) -> tuple[bool, str, float | None]:
        found = service.site_check(town.ctx, ANA, lamp, since)
        (line,) = [each for each in found.lines if each.name == "first ack"]
        return line.ok, line.verdict, found.first_ack_s

    first = stored(1, 200)
    stored(2, 20, samples=0)  # a condition's, or a verdict's
    stored(1, 20, of=Address("city", "lamp-08"))
    began = datetime.now(UTC) - timedelta(seconds=60)
    assert ack(None) == (True, "-", None)
    assert ack(began) == (False, "PROBLEM", None)
    assert service.waits_for_ack(service.site_check(town.ctx, ANA, lamp, began), began)
    assert not service.waits_for_ack(
        service.site_check(town.ctx, ANA, lamp, began - HOUR / 60), began - HOUR / 60
    )
    third = stored(3, 30)
    ok, word, first_ack_s = ack(began)
    assert (ok, word) == (True, "ok")
    assert first_ack_s == pytest.approx((third - began).total_seconds(), abs=0.1)
    early = first - timedelta(seconds=50)
    assert ack(early)[2] == pytest.approx(50, abs=0.1)
    assert ack(datetime.now(UTC) - timedelta(seconds=150))[0] is False, "later than a usual interval"
    for wrong in (datetime.now(UTC) - HOUR, datetime.now(UTC) + HOUR, datetime(2026, 11, 21)):
        with pytest.raises(InvalidRequest):
            service.site_check(town.ctx, ANA, lamp, wrong)


def test_a_calibration_is_judged_before_it_is_entered(town: Town) -> None:
    lamp = Address("city", "lamp-09")
    before = service.site_history(town.ctx, ANA, lamp)
    service.check_work(town.ctx, ANA, told(61, Kind.CALIBRATE, {"slope": 0.6}, lamp=lamp))
    for body in ({"slope": 99.0}, {"valid_from": "soon"}, {"valid_from": "2026-11-20T12:00"}, {"rope": 1}):
        with pytest.raises(InvalidRequest):
            service.check_work(town.ctx, ANA, told(62, Kind.CALIBRATE, body, lamp=lamp))
    with pytest.raises(Forbidden):
        service.check_work(town.ctx, VIC, told(63, Kind.NOTE, {"text": "x"}, lamp=lamp))
    assert service.site_history(town.ctx, ANA, lamp) == before, "nothing is written down"


def signal_of(check: dict[str, Any]) -> tuple[bool, str]:
    (line,) = [each for each in check["lines"] if each["name"] == "signal"]
    return line["ok"], line["detail"]


def test_a_phone_tests_and_hands_over_what_the_city_sees(town: Town) -> None:
    lamp = Address("city", "lamp-08")
    city = City(town.ctx.db.url, "city")
    with httpx.Client(
        base_url=f"{town.url}/api/v1/devices/{lamp}", headers={"Authorization": f"Bearer {town.token()}"}
    ) as client:
        check = client.get("/site-check").json()
        assert not check["passed"]
        assert {"presence", "clock", "sensors"} <= {line["name"] for line in check["lines"] if not line["ok"]}
        city.execute(
            "UPDATE device SET presence = 'online', clock_ok = true, agent_version = '1'"
            " WHERE name = 'lamp-08'"
        )
        record = devices.get_device(town.ctx, ADMIN, lamp).record
        unit = city.sensor(record.id, "pms5003", site="pm")
        for seconds in (60, 30):
            city.sample(unit, now() - timedelta(seconds=seconds), [8, 12, 20])
        check = client.get("/site-check").json()
        assert check["passed"], check["lines"]
        assert {course["channel"] for course in check["courses"]} == {"pm1", "pm2_5", "pm10"}
        assert signal_of(check) == (True, "not measured: the lamppost does not tell it")
        for told, ok, words in (
            ("wlan0 -60 dBm", True, "Wi-Fi wlan0: -60 dBm"),
            ("wlan0 -81 dBm", False, "Wi-Fi wlan0: -81 dBm"),
            ("eth0", True, "by eth0, no radio of its own"),
            ("wwan0", True, "not measured: by wwan0, whose strength it does not tell"),
            ("wwan0 64 % UMTS", True, "mobile wwan0: 64 % UMTS, good"),
            ("wwan0 64 % -104 dBm LTE", False, "mobile wwan0: -104 dBm RSRP LTE, too weak"),
            ("<b>loud</b>", True, "not measured: the lamppost does not tell it"),
        ):
            city.execute(
                "UPDATE device SET settings = jsonb_build_object('signal', %s::text) WHERE name = 'lamp-08'",
                told,
            )
            assert signal_of(client.get("/site-check").json()) == (ok, words)
        city.condition(record.id, "sensor.silent", "error", "No frame.", "Look at the plug.")
        assert not client.get("/site-check").json()["passed"]
        made = client.post("/handover", json={"received_by": "Rui", "height_m": 3.2, "note": "a\nb"})
        assert made.status_code == 201
        assert (made.json()["technician"], made.json()["passed"]) == ("ana", False)
        wrongs: list[Any] = [
            {"height_m": 101},
            {"note": "\x07"},
            {"technician": "x" * 101},
            [],
            {"height_m": "x"},
        ]
        for wrong in wrongs:
            assert client.post("/handover", json=wrong).status_code == 422, wrong
    document = service.report_document(town.ctx, ANA, made.json()["id"])
    found = report.verify(document).report
    assert (found.received_by, found.height_m, found.note) == ("Rui", 3.2, "a\nb")
    assert (town.ctx.config.data_dir / "field.key").stat().st_mode & 0o777 == 0o600
