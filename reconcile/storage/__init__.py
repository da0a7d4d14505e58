"""Buckets: S3 and local folders behind one interface, with one retry policy."""
