"""Count photos with a typical script: boto3, Pillow, torchvision transforms, a DataLoader, eager fp32 PyTorch.

    python -m benchmarks.torch_baseline ENDPOINT BUCKET SIZE

The script uses both cores in the usual way: two loader workers fetch and decode, and PyTorch's own threads run the
network. It counts every image under bin-images/. It prints the number of images, and the seconds from the first request
to the last count.
"""

from __future__ import annotations

import io
import sys
import time

import boto3
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.models import resnet34


class BucketImages(Dataset):
    """The images of a bucket, fetched one by one."""

    def __init__(self, endpoint: str, bucket: str, size: int) -> None:
        self.endpoint, self.bucket = endpoint, bucket
        self.client = None
        pages = self._connect().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="bin-images/")
        self.keys = [entry["Key"] for page in pages for entry in page["Contents"]]
        self.transform = transforms.Compose(
            [
                transforms.Resize((size, size)),
                transforms.ToTensor(),
                transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ]
        )

    def _connect(self):
        return boto3.client("s3", endpoint_url=self.endpoint, region_name="us-east-1")

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> torch.Tensor:
        if self.client is None:  # each worker process needs its own
            self.client = self._connect()
        body = self.client.get_object(Bucket=self.bucket, Key=self.keys[index])["Body"].read()
        return self.transform(Image.open(io.BytesIO(body)).convert("RGB"))


def main() -> None:
    """Count a bucket and print images and seconds."""
    endpoint, bucket, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
    network = resnet34(num_classes=7).eval()
    images = BucketImages(endpoint, bucket, size)
    started = time.perf_counter()
    counts = []
    with torch.inference_mode():
        for batch in DataLoader(images, batch_size=32, num_workers=2):
            counts += network(batch).argmax(dim=1).tolist()
    print(len(counts), time.perf_counter() - started)


if __name__ == "__main__":
    main()
