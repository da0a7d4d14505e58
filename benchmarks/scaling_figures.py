"""Figures that the tables of docs/explanation/scaling.md are computed from, each with its source."""

from __future__ import annotations

from typing import NamedTuple

RESULTS = "measured: [RESULTS.md](../../benchmarks/RESULTS.md)"
LARGE = f"{RESULTS}, Twenty million bins, on a busy machine"
KEYS = f"{RESULTS}, Keys from an inventory, on a busy machine"
SERVE = "from CPU time: 23.0 ms per image (22.7 to 23.3), 22.5 in `run`; 400 photos of `night`, on a busy machine"
ELSEWHERE = "measured: [OTHER_MACHINES.md](../../benchmarks/OTHER_MACHINES.md)"
S3_PRICES = "[S3 pricing](https://aws.amazon.com/s3/pricing/) ¹"
EC2_PRICES = "[EC2 pricing](https://aws.amazon.com/ec2/pricing/on-demand/) ¹"
SAGEMAKER_PRICES = "[SageMaker pricing](https://aws.amazon.com/sagemaker/pricing/) ¹"
S3_API = "[S3 API](https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html)"
S3_GUIDE = "[S3 guide](https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html)"
NVIDIA = "https://github.com/NVIDIA/DeepLearningExamples/tree/master/PyTorch/Classification/ConvNets/resnet50v1.5"
MLPERF = "[MLPerf inference {0}](https://github.com/mlcommons/inference_results_{0}), offline, int8, TensorRT"


class Figure(NamedTuple):
    """A number, what it means, and its source."""

    value: float
    what: str
    source: str


FIGURES = {
    "photo": Figure(68_616, "bytes per photo", "mean of the 338 ABID photos of which we have the original bytes"),
    "record": Figure(2_010, "bytes per JSON record", "mean of 1,401 ABID records"),
    "count": Figure(48, "bytes per row of counts", "synthetic counts of `benchmarks/records_data.py`, 8,192 per part"),
    "plain": Figure(40.5, "images/s per core, int8 without VNNI", f"{ELSEWHERE}: 81 on two cores"),
    "vnni": Figure(98.5, "images/s per core, int8 with VNNI", f"{ELSEWHERE}: 197 on two cores, earlier version"),
    "feed": Figure(
        693, "images/s that one core can feed to a GPU", f"{ELSEWHERE}, EPYC with AVX2; 1,241 in RESULTS.md"
    ),
    "t4": Figure(1_198, "ResNet50 at 224 px on a T4, images/s", f"[NVIDIA]({NVIDIA}), PyTorch, mixed precision"),
    "t4 most": Figure(6_112, "the same, highest result", MLPERF.format("v0.7") + ", 48,897.8 on eight"),
    "l4 most": Figure(12_882, "the same on an L4, highest result", MLPERF.format("v3.1")),
    "record cpu": Figure(0.42, "CPU ms per JSON record", f"{ELSEWHERE}, EPYC with AVX2 (includes the S3 server)"),
    "join": Figure(19.9, "seconds per million bins, to the report", f"{ELSEWHERE}, EPYC with AVX2: 79.6 for 4 million"),
    "join one": Figure(
        9.3, "seconds for 388,861 bins, to the report", f"{ELSEWHERE}, EPYC with AVX2, Records at scale"
    ),
    "memory one": Figure(825, "MB, the most, for 388,861 bins", f"{ELSEWHERE}, EPYC with AVX2, Records at scale"),
    "join 20": Figure(44.1, "seconds per million bins, at 20 million", LARGE),
    "memory 20": Figure(2_592, "MB, the most, at 20 million bins", LARGE),
    "disk": Figure(675, "MB of temporary disk per million bins", LARGE),
    "keys": Figure(9.9, "seconds per million keys of an S3 Inventory, the most", KEYS),
    "keys cpu": Figure(4.6, "CPU seconds of that, the most", KEYS),
    "serve": Figure(79, "images/s of `reconcile serve` by keys, if `run` has 81", SERVE),
    "ray": Figure(76, "images/s with `--engine ray`", f"{ELSEWHERE}: 81 / 1.07"),
    "get": Figure(0.4, "$ per million GET requests", S3_PRICES),
    "list": Figure(5.0, "$ per million LIST or PUT requests", S3_PRICES),
    "inventory": Figure(0.0025, "$ per million objects in an S3 Inventory", S3_PRICES),
    "page": Figure(1000, "keys per LIST request", S3_API),
    "gets": Figure(5500, "GET/s per partitioned prefix, at least", S3_GUIDE),
    "fast": Figure(0.02, "seconds per small request, the least", "assumed by `concurrency/cpu.py`; not measured"),
    "slow": Figure(0.2, "seconds per small request, the most", f"{S3_GUIDE}: roughly 100–200 ms"),
    "c7i.4xlarge": Figure(0.714, "$ per hour, c7i.4xlarge (16 vCPU, VNNI)", EC2_PRICES),
    "g4dn.xlarge": Figure(0.526, "$ per hour, g4dn.xlarge (4 vCPU, one T4)", EC2_PRICES),
    "ml.c7i.4xlarge": Figure(0.857, "$ per hour, ml.c7i.4xlarge", SAGEMAKER_PRICES),
    "ml.g4dn.xlarge": Figure(0.736, "$ per hour, ml.g4dn.xlarge", SAGEMAKER_PRICES),
}


def figure(name: str) -> float:
    """Return the value of one figure."""
    return FIGURES[name].value
