"""Count items in bin photos, compare the counts with inventory records, and list the bins to recount."""

import os

__version__ = "0.1.0"

# The library onnxruntime reports each session to Microsoft, from version 1.29 on. A report has a permanent id of the
# machine, the name of the model file and hashes of its weights. This variable switches it off, and must be set before
# onnxruntime is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
