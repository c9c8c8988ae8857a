"""Six colours that every eye can tell apart, in an order that needs no hue, with text that can be read."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from air_quality.colours import BLACK, NO_DATA, PALETTE, WHITE, BadColour, contrast, linear_rgb, text_on
from air_quality.index import INDICES, US_AQI
from tests.air_quality.colour_vision import SIGHTS, distance, seen

# Ten times what is just noticeable side by side: small marks on a map lie far apart.
TELL_APART = 23.0
READABLE = 4.5  # WCAG 2.2, 1.4.3 (AA)
COLOUR = st.tuples(*[st.integers(0, 255)] * 3).map(lambda parts: "#{:02X}{:02X}{:02X}".format(*parts))


@pytest.mark.parametrize("sight", SIGHTS)
def test_every_two_levels_can_be_told_apart(sight: str) -> None:
    apart = {(one, other): distance(one, other, sight) for one, other in combinations(PALETTE, 2)}
    assert min(apart.values()) >= TELL_APART, apart


@pytest.mark.parametrize("sight", SIGHTS)
def test_each_level_is_darker_than_the_one_before(sight: str) -> None:
    lightness = [seen(colour, sight)[0] for colour in PALETTE]
    assert all(before - after > 4 for before, after in pairwise(lightness)), lightness


def test_the_authoritys_own_colours_would_fail() -> None:
    """The test can fail: this is why there is a palette of ours."""
    official = [band.colour for band in INDICES[US_AQI].bands]
    assert min(distance(one, other, "deuteranopia") for one, other in combinations(official, 2)) < 10


@pytest.mark.parametrize("colour", [*PALETTE, NO_DATA])
def test_text_on_it_can_be_read(colour: str) -> None:
    assert contrast(text_on(colour), colour) >= READABLE


@given(COLOUR)
def test_text_can_be_read_on_any_colour(colour: str) -> None:
    assert text_on(colour) in (BLACK, WHITE)
    assert contrast(text_on(colour), colour) >= READABLE


def test_contrast_of_wcag() -> None:
    assert contrast(BLACK, WHITE) == pytest.approx(21.0)
    assert contrast("#777777", WHITE) == pytest.approx(4.48, abs=0.01)
    assert contrast(WHITE, WHITE) == 1.0


@pytest.mark.parametrize("bad", ["", "red", "#12345", "1234567", "#12345G", "#1234567"])
def test_what_is_no_colour_is_refused(bad: str) -> None:
    with pytest.raises(BadColour):
        linear_rgb(bad)
