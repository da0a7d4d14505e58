"""Checks of the environment and the inputs before a run."""
