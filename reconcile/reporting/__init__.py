"""Turn result tables into HTML reports and text."""
