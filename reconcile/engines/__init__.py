"""Execution engines: count in this process, on Ray or with SageMaker."""
