"""Fetch, decode, count and write Parquet parts: one module per stage."""
