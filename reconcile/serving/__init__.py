"""Counting over HTTP, as SageMaker's containers do (needs the extra `serve`)."""
