"""Measure how good a count model and its recount queue are."""
