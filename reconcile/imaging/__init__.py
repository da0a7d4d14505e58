"""Tests of decoding within limits."""
