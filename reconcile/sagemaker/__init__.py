"""SageMaker as reconcile uses it: batch transform jobs that count, training jobs that train."""
