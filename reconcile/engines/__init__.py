"""Execution engines: count photos locally, on Ray, or on SageMaker."""
