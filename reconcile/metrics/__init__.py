"""Intervals, calibration, ranking and classification metrics. Uses numpy only."""
