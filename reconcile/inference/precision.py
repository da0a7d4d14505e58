"""Numeric precision of a model file."""

from __future__ import annotations

from enum import StrEnum


class Precision(StrEnum):
    """fp32 as trained, fp16 for GPUs, int8 for CPUs."""

    INT8 = "int8"
    FP16 = "fp16"
    FP32 = "fp32"
