"""Counts the items in bin photos, holds the counts against the records, says which bins to recount."""

__version__ = "0.1.0"
