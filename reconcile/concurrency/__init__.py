"""Threads, bounded queues, cancellation and CPU limits."""
