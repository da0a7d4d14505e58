"""Count items in bin photos, compare the counts with inventory records, and list the bins to recount."""

import os

__version__ = "0.1.0"

# onnxruntime 1.29 and later report each session to Microsoft: a permanent id of the machine, the name of the model file
# and hashes of its weights. onnxruntime reads this variable when it is imported, so it is set before any such import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
