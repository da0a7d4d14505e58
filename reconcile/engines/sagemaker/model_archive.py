"""The archives in which SageMaker takes and gives models."""

from __future__ import annotations

import io
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from reconcile.engines.sagemaker.job_store import MODELS
from reconcile.errors import ReconcileError

if TYPE_CHECKING:
    from reconcile.inference.model import CountModel
    from reconcile.output.store import Output


def upload_model(model: CountModel, output: Output) -> str:
    """Put the model's file where SageMaker takes it from, unless it is there already; returns its address.

    Raises:
        ReconcileError: it cannot be written.
    """
    folder = f"{MODELS}/{model.model_id}"
    key = f"{folder}/model.tar.gz"
    if not any(stored.key == key for page in output.bucket.list_pages(f"{folder}/") for stored in page):
        with tempfile.TemporaryDirectory(prefix="reconcile-") as work:
            archive = Path(work, "model.tar.gz")
            with tarfile.open(archive, "w:gz", compresslevel=1) as tar:  # weights hardly shrink
                tar.add(model.path, model.path.name)
            output.bucket.put(key, archive)
    return output.bucket.url(key)


def unpack_models(archive: bytes, folder: Path) -> list[Path]:
    """Take the ONNX files out of a training's archive.

    Raises:
        ReconcileError: it is none, or there is no room.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            found = [member for member in tar.getmembers() if member.isfile() and member.name.endswith(".onnx")]
            tar.extractall(folder, found, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ReconcileError(f"the training's model.tar.gz cannot be unpacked: {error}") from None
    return [folder / member.name for member in found]
