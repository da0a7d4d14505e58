"""`reconcile doctor`: checks before a run."""
