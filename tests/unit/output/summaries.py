"""Summaries of runs that a test makes up."""

from reconcile.output.summary import STATUS_WORDS, Summary


def summary_of(**totals: int) -> Summary:
    """Return the summary of a run with so many rows of each status, and an image for each row."""
    summary = Summary("r", "b", "now", "1", "1-x", ["0", "1+"], "CPU", totals=dict.fromkeys(STATUS_WORDS, 0) | totals)
    summary.images = summary.rows = sum(totals.values())
    return summary
