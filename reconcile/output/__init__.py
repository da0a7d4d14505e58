"""The layout of `<out>`: Parquet parts, run lock, retention, summaries and history."""
