"""Join counts and records in DuckDB."""
