"""The layout of `<out>`: parts, lock, retention, summaries and history."""
