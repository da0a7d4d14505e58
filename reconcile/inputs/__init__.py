"""What a run reads: photo keys, records and unit costs."""
