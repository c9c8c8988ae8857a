"""The forms of what is done at a post, and what is asked back before it is. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from dashboards import times, words
from dashboards.forms import WHY
from dashboards.phone_data import Site
from dashboards.phone_parts import Again, area, choice, entry, fold, hidden, lives, reason
from dashboards.phone_work import Foreseen, Unit

# What a form brings along to where it is asked back.
KEPT = ("id", "unit", "slope", "offset", "humidity", "valid", "source", WHY)
WRITE_SERIAL = (
    "Its configuration needs the new serial number as well: serial = … of this sensor in agent.toml, then "
    "restart the agent. On a laptop, lamppost provision replace unit writes it."
)
SAME_SERIALS = "Give its sensors the serial numbers that they have, and their history goes on:"
FOR_GOOD = (
    "Its certificates are revoked, its connection ends. It comes back by a new claim alone. What it measured "
    "stays. Where two people have to agree, this asks the second one."
)


def done_here(found: Site, at: str, again: Again) -> str:
    """Where it stands, a picture, a note."""
    told = area("What is to be known", "text", _typed(again, "note", "text"), required=True)
    note = fold(at, "note", "A note", told, "Keep the note", again=again)
    place, photo = _place(found, at, again), _photo(at, again)
    return f'<section class="deeds"><h2>Write down</h2>{place}{photo}{note}</section>'


def changed_here(found: Site, at: str, again: Again) -> str:
    """Another sensor, a calibration, another computer."""
    return (
        '<section class="deeds"><h2>Change a part</h2>'
        + _unit(found, at, again)
        + _calibrate(found, at, again)
        + _device(at, again)
        + "</section>"
    )


def taken_down(found: Site, at: str, again: Again) -> str:
    if found.state == "decommissioned":
        return ""
    inner = f"<p>{FOR_GOOD}</p>" + reason(_typed(again, "decommission", WHY), "Why", required=True)
    return (
        '<section class="deeds"><h2>Take down</h2>'
        + fold(at, "decommission", "Shut it out for good", inner, "Go on", kind="bad", again=again)
        + "</section>"
    )


def _typed(again: Again, form: str, name: str, value: str = "") -> str:
    return again.told.get(name, value) if again.form == form else value


def _place(found: Site, at: str, again: Again) -> str:
    def one(label: str, name: str, value: str, *, number: bool = False) -> str:
        return entry(label, name, _typed(again, "place", name, value), number=number)

    inner = (
        one("Latitude", "latitude", shown(found.latitude))
        + one("Longitude", "longitude", shown(found.longitude))
        + one("District", "district", found.district)
        + one("Height of the sensors, metres", "height", shown(found.height_m), number=True)
        + reason(_typed(again, "place", WHY))
    )
    return fold(at, "place", "Where it stands", inner, "Keep the place", again=again)


def _photo(at: str, again: Again) -> str:
    open_ = " open" if again.form == "photo" else ""
    kept = " checked" if _typed(again, "photo", "keep") else ""
    return (
        f"<details{open_}><summary>A picture</summary>"
        f'<form method="post" action="{at}/photo{escape(again.query)}" enctype="multipart/form-data">'
        '<label>Picture (at most 6 MB)<input type="file" name="photo" capture="environment" required'
        ' accept="image/jpeg,image/png,image/webp"></label>'
        f"{entry('What it shows', 'caption', _typed(again, 'photo', 'caption'), most=100)}"
        f'<label class="check"><input type="checkbox" name="keep" value="1"{kept}> Keep what the camera '
        f"wrote into it: place, time, its number</label>{reason(_typed(again, 'photo', WHY))}"
        '<button type="submit">Send it</button></form></details>'
    )


def _unit(found: Site, at: str, again: Again) -> str:
    sensors = {each.site: each.title for each in found.units if each.site}
    which = (
        choice("Sensor", "sensor", sensors.items(), _typed(again, "unit", "sensor"))
        if sensors
        else entry("Sensor, as its configuration calls it", "sensor", _typed(again, "unit", "sensor"))
    )

    def one(label: str, name: str, **more: Any) -> str:
        return entry(label, name, _typed(again, "unit", name), **more)

    inner = (
        which
        + one("New serial number", "new_serial", required=True, most=100)
        + one("Old serial number (empty: as it was told)", "old_serial", most=100)
        + reason(_typed(again, "unit", WHY))
        + f"<p>{WRITE_SERIAL}</p>"
    )
    return fold(at, "unit", "Another sensor", inner, "It is changed", again=again)


def _calibrate(found: Site, at: str, again: Again) -> str:
    options = [
        (f"{unit.id}:{channel}", f"{words.channel(channel)}, {unit.title}")
        for unit in reversed(found.units)
        for channel in unit.calibrated
    ]
    if not options:
        told = "<p>It has declared no unit that can be calibrated.</p>"
        return f"<details><summary>A unit's calibration</summary>{told}</details>"

    def one(label: str, name: str, value: str = "", **more: Any) -> str:
        return entry(label, name, _typed(again, "calibrate", name, value), **more)

    inner = (
        "<p>corrected = slope × reading + offset + per cent × humidity</p>"
        + choice("Of", "unit", options, _typed(again, "calibrate", "unit"))
        + one("Slope", "slope", "1", required=True, number=True)
        + one("Offset, µg/m³", "offset", "0")
        + one("Per % of humidity, µg/m³", "humidity", "0")
        + one("Holds from", "valid", times.field(found.now), kind="datetime-local")
        + one("Measured against", "source", most=100, required=True, hint="station, weeks, by whom")
        + reason(_typed(again, "calibrate", WHY))
    )
    return fold(at, "calibrate", "A unit's calibration", inner, "What will it do?", again=again)


def _device(at: str, again: Again) -> str:
    inner = (
        "<p>A claim for another computer, under the same name and with the same history. Once it is let in, "
        "the old one's certificates are revoked.</p>"
        + lives(_typed(again, "device", "life"))
        + reason(_typed(again, "device", WHY))
    )
    return fold(at, "device", "Another computer", inner, "Make the claim", again=again)


def serials(units: Sequence[Unit]) -> str:
    """For the new computer's configuration."""
    rows = "".join(
        f"<li>{escape(each.site or each.kind)}: <code>{escape(each.serial)}</code></li>"
        for each in {each.site or each.kind: each for each in units if each.serial}.values()
    )
    return f'<p>{SAME_SERIALS}</p><ul class="lines">{rows}</ul>' if rows else ""


def sure_of_calibration(at: str, again: Again, foreseen: Foreseen, who: str) -> str:
    """What it will do, before it is done. again: what was typed."""
    return (
        f'<section><h2>{escape(foreseen.unit)}</h2><p class="formula">corrected = {escape(foreseen.formula)}'
        "</p><p><strong>This changes the past.</strong> Every reading since "
        f"{foreseen.since} is corrected anew, and with it the index of this lamppost and of its district. A "
        f"reading of 20 µg/m³ at 50 % humidity becomes <strong>{escape(foreseen.example)}</strong> µg/m³. It "
        f"is kept with your name, {escape(who)}.</p>"
        f'<form method="post" action="{at}/calibrate{escape(again.query)}">{hidden(_kept(again.told))}'
        '<button type="submit" class="primary" name="sure" value="yes">Enter it and correct the past</button>'
        '<button type="submit" name="sure" value="no">Back</button></form></section>'
    )


def sure_of_end(at: str, name: str, told: Mapping[str, str], waits: bool = False) -> str:
    """Asked a second time. waits: a second person has been asked."""
    told_now = (
        "<h2>It waits for a second person</h2><p>Nothing is done yet. Once they have agreed, press the "
        "button again: it is done then.</p>"
        if waits
        else f"<h2>Shut {escape(name)} out for good?</h2><p>{FOR_GOOD}</p>"
    )
    typed = entry("Its name, once more", "name", told.get("name", ""), required=True, hint=name)
    button = "They have agreed: do it now" if waits else "Shut it out for good"
    return (
        f"<section>{told_now}<p>Why: {escape(told.get(WHY, ''))}</p>"
        f'<form method="post" action="{at}/decommission">{hidden(_kept(told))}{typed}'
        f'<button type="submit" class="bad" name="sure" value="yes">{button}</button></form>'
        f'<p><a class="button" href="{at}">Leave it</a></p></section>'
    )


def _kept(told: Mapping[str, str]) -> dict[str, str]:
    return {name: told[name] for name in KEPT if name in told}


def shown(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}".rstrip("0").rstrip(".")
