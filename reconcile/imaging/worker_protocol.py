"""How a worker process is asked for a photo, and how it answers."""

from __future__ import annotations

import struct

REQUEST = struct.Struct("<BIQQ")
"""The form of a request: SQUARE or THUMBNAIL, its side in pixels, the memory in bytes, the number of bytes that follow.

The bytes of the photo follow.
"""
ANSWER = struct.Struct("<BIQ")
"""The form of an answer: DECODED or UNREADABLE, the number of bytes of a text, and of a result.

The note or reason follows in UTF-8, then the result.
"""
SQUARE, THUMBNAIL = 0, 1
DECODED, UNREADABLE = 0, 1
READY = b"ready\n"
"""The bytes that the process writes when it can decode."""
