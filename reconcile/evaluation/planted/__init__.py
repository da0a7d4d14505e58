"""Benchmark the recount queue on injected record errors."""
