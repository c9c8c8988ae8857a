"""Benchmarks: each prints its figure and the ratio to a floor that was measured in the same run.

Absolute figures belong to a machine; ratios travel.
"""
