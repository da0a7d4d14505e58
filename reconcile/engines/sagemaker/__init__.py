"""Count with SageMaker batch transform jobs."""
