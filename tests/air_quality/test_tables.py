"""The tables that ship are whole; a damaged one is refused; a stored index names its table."""

from __future__ import annotations

from importlib.resources import files

import pytest

from air_quality.colours import PALETTE
from air_quality.tables import EU_EAQI, INDICES, US_AQI, BadTable, Rule, parse

US = files("air_quality.data").joinpath("us_aqi_2024_05_06.toml").read_text(encoding="utf-8")
EU = files("air_quality.data").joinpath("eu_eaqi_2024.toml").read_text(encoding="utf-8")


def test_the_ids_carry_their_versions_and_every_file_is_read() -> None:
    assert set(INDICES) == {US_AQI, EU_EAQI}
    for index_id, table in INDICES.items():
        assert table.id == index_id
        assert index_id.endswith(f"@{table.version}")
        assert table.source
    shipped = [entry.name for entry in files("air_quality.data").iterdir() if entry.name.endswith(".toml")]
    assert len(shipped) == len(INDICES)


def test_the_last_us_band_is_one_segment() -> None:
    table = INDICES[US_AQI]
    assert [(band.low, band.high) for band in table.bands][-1] == (301, 500)
    assert table.valid_from.isoformat() == "2024-05-06"
    assert [band.colour for band in table.bands] == [
        *("#00E400", "#FFFF00", "#FF7E00", "#FF0000", "#8F3F97", "#7E0023"),
    ]


def test_both_indices_have_the_palettes_six_levels() -> None:
    for table in INDICES.values():
        assert tuple(band.accessible_colour for band in table.bands) == PALETTE
        assert [band.level for band in table.bands] == [1, 2, 3, 4, 5, 6]
        assert [table.band(level).level for level in range(1, 7)] == [1, 2, 3, 4, 5, 6]


def test_the_european_ends_are_the_published_ones() -> None:
    table = INDICES[EU_EAQI]
    assert table.rule is Rule.CLASS
    ends = {entry.key: [high for _, _, high in entry.spans] for entry in table.pollutants}
    assert ends == {
        "pm2_5": [5, 15, 50, 90, 140],
        "pm10": [15, 45, 120, 195, 270],
        "o3": [60, 100, 120, 160, 180],
        "no2": [10, 25, 60, 100, 150],
        "so2": [20, 40, 125, 190, 275],
    }


@pytest.mark.parametrize(
    ("text", "was", "becomes", "why"),
    [
        (US, "[9.1, 35.4]", "[9.2, 35.4]", "gap between two spans"),
        (US, "[9.1, 35.4]", "[8.9, 35.4]", "gap between two spans"),
        (US, "[9.1, 35.4]", "[9.15, 35.4]", "more than 1 decimals"),
        (US, "[[0.0, 9.0]", "[[9.0, 9.0]", "without length"),
        (US, "low = 51", "low = 52", "gap between two bands"),
        (US, "level = 2", "level = 7", "levels 1 to 6"),
        (US, 'rule = "interpolate"', 'rule = "guess"', "cannot be read"),
        (US, "decimals = 1", "", "cannot be read"),
        (US, 'id = "us-aqi@2024-05-06"', "", "cannot be read"),
        (US, "[[band]]", "[band", "cannot be read"),
        (EU, "[5, 15, 50, 90, 140]", "[5, 15, 50, 90]", "one upper end"),
        (EU, "[5, 15, 50, 90, 140]", "[5, 15, 15, 90, 140]", "without length"),
        (EU, "[5, 15, 50, 90, 140]", "[5, 15, 50, 90, 140, 200, 300]", "cannot be read"),
    ],
)
def test_a_damaged_table_is_refused(text: str, was: str, becomes: str, why: str) -> None:
    assert was in text
    with pytest.raises(BadTable, match=why):
        parse(text.replace(was, becomes, 1))
