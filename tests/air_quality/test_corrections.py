"""The corrections against the vectors of standards.md 2.1 and 2.2; bad input never becomes a value."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from air_quality.corrections import CORRECTIONS, NONE, Field, default_correction
from air_quality.humidity import dry_mass, growth_factor

VECTORS: dict[str, list[tuple[float, float, float]]] = {  # (raw, humidity) -> corrected
    "barkjohn2021@1": [(20, 50, 11.92), (100, 50, 53.84), (300, 50, 158.64)],
    "epa_fasm_343@1": [
        *[(20, 50, 11.85), (500, 0, 331.22), (500, 100, 331.22)],
        *[(343, 50, 179.81), (343.0001, 50, 206.99)],  # it jumps
    ],
    "fasm2021_atm@1": [
        *[(10, 50, 6.680), (30, 50, 17.160), (40, 50, 27.640), (50, 50, 40.740), (100, 50, 80.040)],
        *[(210, 50, 166.500), (235, 50, 200.042), (260, 50, 242.124), (400, 50, 420.406)],
    ],
    "barkjohn2022@1": [
        *[(20, 50, 11.92), (569.999, 50, 300.12), (590, 50, 345.65), (611, 50, 400.12), (800, 50, 586.48)],
    ],
    "kappa_koehler@1": [(20, 85, 8.426), (20, 39.9, 20.0), (20, 99, 20 / 5.6061)],
    NONE: [(20, 50, 20.0)],
}
CONTINUOUS = ["barkjohn2021@1", "fasm2021_atm@1", "barkjohn2022@1"]
RAW = st.floats(0, 2000)
HUMIDITY = st.floats(0, 100)


def applied(correction: str, raw: float | None, humidity: float | None) -> float | None:
    return CORRECTIONS[correction].apply(raw, raw, humidity)


@pytest.mark.parametrize(
    ("correction", "raw", "humidity", "expected"),
    [(name, *vector) for name, vectors in VECTORS.items() for vector in vectors],
)
def test_corrections_of_the_standard(correction: str, raw: float, humidity: float, expected: float) -> None:
    assert applied(correction, raw, humidity) == pytest.approx(expected, abs=0.01)


def test_every_correction_has_a_vector_a_version_and_a_source() -> None:
    assert set(VECTORS) == set(CORRECTIONS)
    for name, entry in CORRECTIONS.items():
        assert entry.id == name
        assert name.endswith("@1")
        assert entry.source


@pytest.mark.parametrize(
    ("humidity", "factor"),
    [(35, 1.1305), (50, 1.2424), (70, 1.5657), (80, 1.9697), (85, 2.3737), (90, 3.1818), (95, 5.6061)],
)
def test_growth_of_the_standard(humidity: float, factor: float) -> None:
    assert growth_factor(humidity) == pytest.approx(factor, abs=1e-4)


def test_growth_is_clamped_and_begins_at_one() -> None:
    assert growth_factor(0) == 1.0
    assert growth_factor(-5) == 1.0
    assert growth_factor(100) == growth_factor(95)
    assert growth_factor(50, kappa=0.0) == 1.0
    assert dry_mass(20, 85) == pytest.approx(8.426, abs=1e-3)


@given(HUMIDITY, HUMIDITY)
def test_wetter_air_grows_particles(one: float, other: float) -> None:
    dry, wet = sorted((one, other))
    assert 1.0 <= growth_factor(dry) <= growth_factor(wet)


@pytest.mark.parametrize("correction", CORRECTIONS)
@given(raw=st.none() | st.floats(), humidity=st.none() | st.floats())
def test_any_input_gives_a_mass_or_none(correction: str, raw: float | None, humidity: float | None) -> None:
    found = applied(correction, raw, humidity)
    assert found is None or (math.isfinite(found) and found >= 0.0)
    if raw is None or not math.isfinite(raw) or raw < 0:
        assert found is None
    if CORRECTIONS[correction].needs_humidity and (humidity is None or not 0 <= humidity <= 100):
        assert found is None


@pytest.mark.parametrize("correction", [name for name in CORRECTIONS if name != "epa_fasm_343@1"])
@given(one=RAW, other=RAW, humidity=HUMIDITY)
def test_more_dust_is_never_corrected_into_less(
    correction: str, one: float, other: float, humidity: float
) -> None:
    less, more = sorted((one, other))
    low, high = applied(correction, less, humidity), applied(correction, more, humidity)
    assert low is not None
    assert high is not None
    assert low <= high + 1e-6


@pytest.mark.parametrize("correction", CONTINUOUS)
@given(raw=RAW, humidity=HUMIDITY)
def test_the_pieces_join(correction: str, raw: float, humidity: float) -> None:
    here, beside = applied(correction, raw, humidity), applied(correction, raw + 1e-3, humidity)
    assert here is not None
    assert beside is not None
    # The 2022 weight is 0.008 off at either end of its span, which is some 2 ug/m3 of 400.
    assert abs(beside - here) < (3.0 if correction == "barkjohn2022@1" else 0.1)


def test_which_field_a_correction_takes() -> None:
    assert CORRECTIONS["fasm2021_atm@1"].apply(None, 100.0, 50.0) == pytest.approx(80.04)
    assert CORRECTIONS["fasm2021_atm@1"].apply(100.0, None, 50.0) is None
    assert CORRECTIONS["barkjohn2021@1"].apply(100.0, 66.0, 50.0) == pytest.approx(53.84)
    assert CORRECTIONS["barkjohn2021@1"].apply(None, 66.0, 50.0) is None
    assert CORRECTIONS[NONE].apply(100.0, 66.0, None) == 66.0
    assert CORRECTIONS[NONE].apply(100.0, None, None) == 100.0
    assert {entry.field for entry in CORRECTIONS.values()} == set(Field)


def test_a_correction_clamps_at_zero() -> None:
    assert applied("barkjohn2021@1", 0.0, 100.0) == 0.0


@pytest.mark.parametrize(
    ("kind", "with_humidity"),
    [
        *[(kind, "barkjohn2022@1") for kind in ("pms5003", "pms5003t", "pms7003", "pmsa003")],
        *[(kind, "kappa_koehler@1") for kind in ("sds011", "sds021", "sps30")],
        *[(kind, NONE) for kind in ("mhz19b", "somebody-elses", "")],
    ],
)
def test_the_default_of_a_kind(kind: str, with_humidity: str) -> None:
    assert default_correction(kind, True) == with_humidity
    assert default_correction(kind, False) == NONE
