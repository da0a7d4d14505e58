"""Benchmarks behind the figures in docs/explanation/speed.md. Run them with `make bench`."""
