"""Counts the items in bin photos, holds the counts against the records, says which bins to recount."""

import os

__version__ = "0.1.0"

# From its version 1.29 on, onnxruntime tells Microsoft of every session, with a lasting id of the machine, the model's
# file name and hashes of its weights. It looks for this when it is imported, which only other modules of ours do.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
