"""Pack and unpack `model.tar.gz`."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

from reconcile.engines.sagemaker.job_store import MODELS
from reconcile.errors import ReconcileError
from reconcile.temporary import temporary_folder

if TYPE_CHECKING:
    from pathlib import Path

    from reconcile.inference.model import CountModel
    from reconcile.output.store import Output


def upload_model(model: CountModel, output: Output) -> str:
    """Upload a model to `<out>`, unless it is there already, and return the address of the archive.

    Raises:
        ReconcileError: the archive cannot be written.
    """
    folder = f"{MODELS}/{model.model_id}"
    key = f"{folder}/model.tar.gz"
    if not any(stored.key == key for page in output.bucket.list_pages(f"{folder}/") for stored in page):
        with temporary_folder() as scratch:
            archive = scratch / "model.tar.gz"
            with tarfile.open(archive, "w:gz", compresslevel=1) as tar:  # better compression hardly shrinks weights
                tar.add(model.path, model.path.name)
            output.bucket.put(key, archive)
    return output.bucket.url(key)


def unpack_models(archive: bytes, folder: Path) -> list[Path]:
    """Unpack the ONNX files of a training job's archive, and return their paths.

    Raises:
        ReconcileError: the archive is damaged, or the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            members = [member for member in tar.getmembers() if member.isfile() and member.name.endswith(".onnx")]
            tar.extractall(folder, members, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ReconcileError(f"the model.tar.gz of the training job cannot be unpacked: {error}") from None
    return [folder / member.name for member in members]
