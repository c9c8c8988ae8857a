"""The independent check: seeded, made by code of its own, and in the card as it is measured."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.air_anomaly import elsewhere
from models.air_anomaly.__main__ import main
from models.air_anomaly.air import DAY_MIN, MINUTES
from models.air_anomaly.card import BASELINES, CARD_JSON, CARD_MD, MAIN, bars, render, with_check
from models.air_anomaly.check import check
from models.air_anomaly.elsewhere import EPISODES, From, Made, Scene, forgetting, scene
from models.air_anomaly.new_year import DAYS_BEFORE, nights
from models.air_anomaly.reference import Station
from models.air_anomaly.split import stretches
from models.features.manifest import shipped_directory
from tests.models.test_recipe import made_station
from tests.support.shared import need_shared

FOLDER = shipped_directory()
# What the check may take of the recipe: what an episode is, the reference's hours, and names of shapes.
SHARED = {
    "models.air_anomaly.air": {"DAY_MIN", "MINUTES"},
    "models.air_anomaly.events": {"MATERIAL_SHARE", "MATERIAL_UG_M3", "labels"},
    "models.air_anomaly.reference": {"Floats"},
    "models.air_anomaly.sensor": {"Readings"},
    "models.air_anomaly.split": {"Stretch"},
}


def one(kind: Made, index: int = 0, origin: From = From.HOURS) -> Scene:
    stretch = stretches(made_station())[0]
    return scene(kind, origin, stretch, np.random.default_rng([5, index]))


def test_it_takes_no_shape_no_noise_and_no_sensor_of_the_recipe() -> None:
    tree = ast.parse(Path(elsewhere.__file__).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("models."):
            assert {name.name for name in node.names} <= SHARED[node.module or ""], node.module


@pytest.mark.parametrize("kind", list(Made))
def test_every_kind_is_seeded_and_plausible(kind: Made) -> None:
    onsets = 0
    for index in range(4):
        made, again = one(kind, index), one(kind, index)
        np.testing.assert_array_equal(made.readings.pm2_5, again.readings.pm2_5)
        known = made.readings.pm2_5[np.isfinite(made.readings.pm2_5)]
        assert len(known) > 0.9 * MINUTES
        assert known.min() >= 0
        assert (made.label == 1).any() == (made.onset is not None) <= (kind in EPISODES)
        if made.onset is not None:
            onsets += 1
            assert DAY_MIN - 20 <= made.onset < MINUTES
    assert onsets >= 3 * (kind in EPISODES)


def test_the_emulators_street_can_be_the_air() -> None:
    made = one(Made.CALM, origin=From.STREET)
    assert 1 < np.nanmedian(made.readings.pm2_5) < 100
    assert not made.unsure.any()


def test_its_turbulence_is_rough_and_forgets() -> None:
    rough = np.concatenate([forgetting(np.random.default_rng(i), 4.0) for i in range(10)])
    assert rough.std() == pytest.approx(1.0, abs=0.1)
    assert np.corrcoef(rough[:-1], rough[1:])[0, 1] == pytest.approx(np.exp(-1 / 4), abs=0.05)
    assert abs(np.corrcoef(rough[:-40], rough[40:])[0, 1]) < 0.1


def test_nights_are_the_last_of_the_year_and_the_usual_ones() -> None:
    """A post in Norway from 1 December 2019 whose air leaps at 23 h UTC of the 31st and at no other time."""
    hours = np.arange(45 * 24) + 437_544
    air = np.full(len(hours), 10.0)
    midnight = 31 * 24 - 1
    air[midnight : midnight + 2] = 90.0
    post = Station("Somewhere", "norway", hours, air, None, None)
    found = list(nights([post, made_station()], 1))
    assert [night.what for night in found] == ["New Year, fast rise", "two weeks before"]
    leap, usual = (night.readings.pm2_5 for night in found)
    minute = (24 + 2) * 60  # 30 December 21 h, and 26 hours
    assert np.median(leap[minute - 60 : minute - 5]) < 15 < 75 < np.median(leap[minute + 10 : minute + 110])
    assert usual.max() < 15
    assert DAYS_BEFORE % 7 == 0


def test_the_card_holds_the_check_and_takes_another(tmp_path: Path) -> None:
    card: dict[str, Any] = json.loads((FOLDER / CARD_JSON).read_text(encoding="utf-8"))
    found = card["independent"]
    assert set(found["per_kind"]) == {kind.value for kind in Made}
    assert {MAIN, "z-score", "rise over the hour"} <= set(found["detectors"])
    assert len(set(BASELINES) & set(found["detectors"])) >= 3
    for name in (CARD_JSON, CARD_MD):
        shutil.copy(FOLDER / name, tmp_path)
    with_check(tmp_path, found)
    assert (tmp_path / CARD_JSON).read_bytes() == (FOLDER / CARD_JSON).read_bytes()
    with_check(tmp_path, {**found, "scenes": 1})
    changed = json.loads((tmp_path / CARD_JSON).read_text(encoding="utf-8"))
    assert changed == {**card, "independent": {**found, "scenes": 1}}
    assert changed["bars"] == bars(card)
    assert (tmp_path / CARD_MD).read_text(encoding="utf-8") == render(changed)


def test_the_command_says_what_is_missing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["check", "--data", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    data = str(need_shared("beijing/hourly.parquet").parents[1])
    assert main(["check", "--data", data, "--artefact", str(tmp_path)]) == 2
    assert "manifest.json" in capsys.readouterr().err


def test_what_ships_knows_more_than_its_recipe() -> None:
    """A few scenes of each kind: the shipped file beats what is simpler where nothing is the recipe's."""
    data = need_shared("beijing/hourly.parquet").parents[1]
    found = check(FOLDER, data, 3, lambda _: None)
    assert found["scenes"] == 3 * len(Made) * len(From)
    rows = found["detectors"]
    for name in From:
        assert rows[MAIN][f"AUC, {name}"] > 0.85
        best = max(rows[each][f"recall at 1 %, {name}"] for each in rows if each in BASELINES)
        assert rows[MAIN][f"recall at 1 %, {name}"] > best
    assert found["per_age"]["10-30 min"][MAIN] > 0.75
    assert found["days"]["false_episodes"] <= 1
    assert (
        found["new_year"]["New Year, fast rise"]["opened"]
        > 0.8 * found["new_year"]["New Year, fast rise"]["nights"]
    )
    assert found["new_year"]["two weeks before"]["opened"] == 0
