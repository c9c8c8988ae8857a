"""What decides when no model does: is the last five minutes' air far above the day's, and above the hour's?

A robust z-score against the unit's own day, held back by the hour before, so that a slow build-up is none.
Cruder than the model: it knows neither humidity nor faults.
"""

from __future__ import annotations

import math

from models.features.window import Window

# A rise that people would notice and a low-cost sensor can tell from its noise.
LEAST_EXCESS_UG_M3 = 15.0
# At three quartile ranges above the day's median a value lies outside what the street does by itself.
QUARTILE_RANGES = 3.0
LEAST_QUARTILE_RANGE_UG_M3 = 2.0
# A score of one half is exactly the threshold; 4 gives 0.98 at twice the threshold.
STEEPNESS = 4.0


def rule_score(window: Window) -> tuple[float, float]:
    """(score, confidence), both 0..1; the score is 0.5 at the rule's threshold. Without any of the last five
    minutes there is nothing to judge: (0, 0)."""
    if window.recent is None:
        return 0.0, 0.0
    day = window.background
    quartiles = max(LEAST_QUARTILE_RANGE_UG_M3, day.high - day.low)
    threshold = max(LEAST_EXCESS_UG_M3, QUARTILE_RANGES * quartiles)
    above_day = window.recent - day.median
    # Half of a long episode's hour is the episode itself: what came before counts for half.
    above_hour = window.recent - 0.5 * (window.before + day.median)
    ratio = min(above_day, above_hour) / threshold
    score = 1.0 / (1.0 + math.exp(-STEEPNESS * max(-20.0, min(20.0, ratio - 1.0))))
    # Half a day's background and a full window make the rule as sure as it gets: it is crude even then.
    return score, 0.8 * window.coverage * min(1.0, 2.0 * day.fill)
