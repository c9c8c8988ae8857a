"""The field's formulas: index, NowCast, corrections, quality tests, units. Pure: no clock, no I/O."""
