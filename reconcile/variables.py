"""Environment variables that are not settings of a run."""

DEBUG = "RECONCILE_DEBUG"
"""With this variable, unexpected errors are printed with a traceback."""
SERVE_TOKEN, SERVE_BUCKETS = "RECONCILE_SERVE_TOKEN", "RECONCILE_SERVE_BUCKETS"  # names of variables
"""The token that clients of `reconcile serve` must send, and the buckets that they may name."""
RECOUNT_TOKEN = "RECONCILE_RECOUNT_TOKEN"  # noqa: S105 # the name of the variable
"""The token in the address of `reconcile recount`."""
