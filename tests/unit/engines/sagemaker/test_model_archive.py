"""Tests of packing and unpacking `model.tar.gz`."""

import io
import tarfile

import pytest

from reconcile.engines.sagemaker.model_archive import unpack_models, upload_model
from reconcile.errors import ReconcileError
from reconcile.inference.model import read_model
from reconcile.output.store import Output
from reconcile.storage.open import open_bucket


def test_model_is_uploaded_once_and_unpacks_unchanged(tmp_path, grey_model):
    output, model = Output(open_bucket(str(tmp_path / "out"), None, create=True)), read_model(grey_model)
    url = upload_model(model, output)
    archive = tmp_path / "out" / "transform" / "models" / model.model_id / "model.tar.gz"
    written = archive.stat().st_mtime_ns
    assert upload_model(model, output) == url
    assert archive.stat().st_mtime_ns == written
    [path] = unpack_models(archive.read_bytes(), tmp_path / "back")
    assert read_model(path).model_id == model.model_id


def test_archive_cannot_write_outside_its_folder(tmp_path):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        member = tarfile.TarInfo("../outside.onnx")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(ReconcileError, match="cannot be unpacked"):
        unpack_models(packed.getvalue(), tmp_path / "inside")
    assert not (tmp_path / "outside.onnx").exists()
