"""The photos, records and unit costs that a run reads."""
