"""Fixtures of the storage tests: buckets with a folder behind them, clients and servers, also with https."""

import threading
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import boto3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from reconcile.storage.base import S3Access
from reconcile.storage.open import open_bucket


@pytest.fixture(params=["s3", "s3 prefix", "folder"])
def bucket_and_folder(request, s3):
    """Return a bucket and the folder that holds its objects. The bucket is on S3, a prefix on S3, or a folder."""
    folder = s3.root / "warehouse"
    folder.mkdir()
    access = S3Access(endpoint_url=s3.endpoint_url)
    if request.param == "s3 prefix":
        (folder / "deep" / "down").mkdir(parents=True)
        return open_bucket("s3://warehouse/deep/down/", access), folder / "deep" / "down"
    return open_bucket("warehouse" if request.param == "s3" else str(folder), access), folder


@pytest.fixture
def moto_client(moto):
    """Return a boto3 client of moto's S3 server."""
    return boto3.client("s3", endpoint_url=moto.endpoint_url, region_name="us-east-1")


@pytest.fixture
def certificate(tmp_path):
    """Return the path of a PEM file with a self-signed certificate for 127.0.0.1 and its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "here")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = tmp_path / "server.pem"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + signed.public_bytes(Encoding.PEM)
    )
    return path


class HttpsServer(NamedTuple):
    """An S3 server with a certificate that no system trusts."""

    url: str
    certificate: Path


@pytest.fixture
def https_s3(certificate, moto):
    """Return moto's S3 server behind https. Its bucket `bins` has one key that only boto3 can express."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    plain = boto3.client("s3", endpoint_url=moto.endpoint_url, region_name="us-east-1")
    plain.create_bucket(Bucket="bins")
    plain.put_object(Bucket="bins", Key="a//b.jpg", Body=b"boto3")
    plain.put_object(Bucket="bins", Key="c.jpg", Body=b"obstore")
    app = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, app, threaded=True, ssl_context=(str(certificate), str(certificate)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield HttpsServer(f"https://127.0.0.1:{server.server_port}", certificate)
    server.shutdown()
    thread.join()
