"""Buckets and folders answer alike."""

import os
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from reconcile.errors import ReconcileError
from reconcile.storage import retry
from reconcile.storage.base import FetchError, S3Access
from reconcile.storage.local import LocalBucket
from reconcile.storage.open import download_file, is_folder, open_bucket
from tests.conftest import reconcile

ODD_NAMES = [
    "a b.jpg",
    "a+b.jpg",
    "a#b.jpg",
    "a%20b.jpg",
    "ü.jpg",
    "<b>.jpg",
    'q"t.jpg',
    "=c.jpg",
    "x&y.jpg",
    "sub/1.jpg",
]


@pytest.fixture(params=["s3", "s3 prefix", "folder"])
def place(request, s3):
    """A bucket, a prefix of one, a folder: the access to it, and the folder that lies behind."""
    folder = s3.root / "warehouse"
    folder.mkdir()
    access = S3Access(endpoint_url=s3.endpoint_url)
    if request.param == "s3 prefix":
        (folder / "deep" / "down").mkdir(parents=True)
        return open_bucket("s3://warehouse/deep/down/", access), folder / "deep" / "down"
    return open_bucket("warehouse" if request.param == "s3" else str(folder), access), folder


def test_odd_names_are_listed_in_order_and_read(place):
    bucket, folder = place
    (folder / "photos" / "sub").mkdir(parents=True)
    for name in ODD_NAMES:
        (folder / "photos" / name).write_bytes(name.encode())
    (folder / "photos-too").mkdir()
    (folder / "photos-too" / "no.jpg").write_bytes(b"another prefix")
    listed = [stored for page in bucket.list_pages("photos/") for stored in page]
    assert [stored.key for stored in listed] == sorted((f"photos/{name}" for name in ODD_NAMES), key=str.encode)
    for stored in listed:
        assert bucket.get(stored.key, stored.etag).decode() == stored.key.removeprefix("photos/")
        assert stored.size == len(stored.key.removeprefix("photos/").encode())


def test_listing_goes_on_over_many_pages(place):
    bucket, folder = place
    for number in range(2345):
        (folder / f"{number:05d}").write_bytes(b"")
    pages = list(bucket.list_pages())
    assert [stored.key for page in pages for stored in page] == [f"{number:05d}" for number in range(2345)]
    assert max(len(page) for page in pages) <= 1000


def test_what_is_put_can_be_got(place):
    bucket, folder = place
    bucket.put("runs/1/x.bin", b"new")
    assert bucket.get("runs/1/x.bin") == b"new"
    assert (folder / "runs/1/x.bin").read_bytes() == b"new"
    bucket.delete("runs/1/x.bin")
    with pytest.raises(FetchError, match="does not exist"):
        bucket.get("runs/1/x.bin")


def test_deleting_what_is_gone_is_no_error_and_leaves_no_empty_folder(place):
    bucket, folder = place
    bucket.put("runs/1/x.bin", b"new")
    for _ in range(2):
        bucket.delete("runs/1/x.bin")
    assert not (folder / "runs").exists()


@pytest.mark.parametrize("kind", ["s3", "folder"])
def test_of_many_conditional_writes_at_once_one_succeeds(kind, moto, tmp_path, monkeypatch):
    at_once = LocalBucket.put
    # Slowly, so that others look at what is to be replaced before it is.
    monkeypatch.setattr(LocalBucket, "put", lambda *arguments: time.sleep(0.05) or at_once(*arguments))
    if kind == "s3":
        import boto3

        client = boto3.client("s3", endpoint_url=moto.endpoint_url, region_name="us-east-1")
        client.create_bucket(Bucket="shared")
    bucket = open_bucket("shared" if kind == "s3" else str(tmp_path), moto)
    assert bucket.read("k") is None
    assert not bucket.replace("k", b"0", "none")
    with ThreadPoolExecutor(8) as pool:
        for content in (b"a", b"b", b"c"):
            before = bucket.read("k")
            if before is None:
                done = list(pool.map(lambda n: bucket.create("k", b"a" * n), range(1, 9)))
            else:
                etag = before[0].etag
                done = list(pool.map(lambda n: bucket.replace("k", content * n, etag), range(1, 9)))  # noqa: B023
            stored, data = bucket.read("k")
            assert done.count(True) == 1
            assert data == content * (done.index(True) + 1)
            assert stored.size == len(data)


def test_a_server_that_refuses_conditions_is_written_to_without():
    class Refusing(BaseHTTPRequestHandler):
        def do_PUT(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(501 if {"If-Match", "If-None-Match"} & set(self.headers) else 200)
            self.send_header("ETag", '"x"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        bucket = open_bucket("s3://shared/nightly", S3Access(endpoint_url=f"http://127.0.0.1:{server.server_port}"))
        assert bucket.create("k", b"1")
        assert bucket.replace("k", b"2", "x")
        server.shutdown()


def test_an_object_that_changed_since_it_was_listed_is_not_taken_for_it(place):
    bucket, folder = place
    (folder / "a.jpg").write_bytes(b"first")
    [[stored]] = bucket.list_pages()
    (folder / "a.jpg").write_bytes(b"second, longer")
    with pytest.raises(FetchError, match="changed after it was listed"):
        bucket.get(stored.key, stored.etag)


def test_an_empty_prefix_has_no_pages(place):
    assert list(place[0].list_pages("nothing/here/")) == []


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("night", False),
        ("my.bucket", False),
        ("s3://night/a/b", False),
        ("./night", True),
        ("/data", True),
        ("a/b", True),
        ("~/photos", True),
        (".", True),
    ],
)
def test_a_folder_has_a_slash_or_starts_with_a_dot(location, expected):
    assert is_folder(location) == expected


@pytest.fixture
def https_url(tmp_path):
    """A server whose certificate nobody has signed but itself."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "here")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (tmp_path / "server.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # a client that hangs up is what is wanted
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"https://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_what_is_wrong_with_a_bucket_is_said_in_one_line(s3, https_url, monkeypatch):
    monkeypatch.setattr(retry, "FIRST_PAUSE_SECONDS", 0.01)
    access = S3Access(endpoint_url=s3.endpoint_url)

    def complaint(location, access):
        with pytest.raises(ReconcileError) as caught:
            list(open_bucket(location, access).list_pages())
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert complaint("nobodys", access) == f"there is no bucket s3://nobodys at {s3.endpoint_url}"
    (s3.root / "here").mkdir()
    Path("photos").mkdir()
    assert complaint("photos", access).endswith("(to use the folder of that name, write ./photos)")
    for url, why in (
        ("http://127.0.0.1:1", "no server listens there"),
        ("http://no.such.host.invalid", "there is no host of that name"),
        (s3.endpoint_url.replace("http:", "https:"), "the server there does not speak https"),
        (https_url, "this machine does not trust the server's certificate"),
    ):
        assert f"no answer ({why}); check --endpoint-url" in complaint("here", S3Access(endpoint_url=url))
    assert "AWS profile" in complaint("here", S3Access(profile="nobody"))
    assert "no such folder" in complaint("./nowhere", access)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret-altogether")
    assert "SignatureDoesNotMatch" in complaint("here", access)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert "no AWS credentials found for s3://here; set AWS_ACCESS_KEY_ID" in complaint("here", access)


@pytest.mark.parametrize(
    ("endpoint", "bucket", "told"),
    [
        (
            "localhost:9000",
            "bins",
            "the S3 endpoint 'localhost:9000' is not a valid address: expected http://HOST:PORT",
        ),
        ("http://127.0.0.1:1", "my bins", "'my bins' is not a valid bucket name"),
        ("http://127.0.0.1:1", "s3://bins/x//y", "a folder inside a bucket must not be empty"),
    ],
)
def test_an_address_that_is_none_is_said_in_one_line(endpoint, bucket, told, grey_model, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    done = reconcile("run", "--bucket", bucket, "--model", grey_model, "--out", "./out")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert told in line


@pytest.mark.parametrize("no_sign_request", [True, False])
def test_amazons_own_s3_needs_no_endpoint(no_sign_request):
    bucket = open_bucket("s3://some-bucket/prefix", S3Access(region="eu-west-1", no_sign_request=no_sign_request))
    assert bucket.location == "s3://some-bucket/prefix"


def test_the_region_comes_from_where_the_aws_cli_takes_it(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    assert open_bucket("b", S3Access(no_sign_request=True)).access.region == "us-west-2"
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert open_bucket("b", S3Access(no_sign_request=True)).access.region == "eu-central-1"
    assert open_bucket("b", S3Access(no_sign_request=True, region="eu-west-1")).access.region == "eu-west-1"


def test_a_server_that_wants_signatures_says_so(s3):
    (s3.root / "private").mkdir()
    with pytest.raises(ReconcileError, match="S3 refuses unsigned requests; drop --no-sign-request"):
        list(open_bucket("private", S3Access(endpoint_url=s3.endpoint_url, no_sign_request=True)).list_pages())


def test_a_file_is_brought_from_s3_or_found_here(s3, tmp_path):
    (s3.root / "erp").mkdir()
    (s3.root / "erp" / "stock.csv").write_bytes(b"bin_id")
    access = S3Access(endpoint_url=s3.endpoint_url)
    assert download_file("s3://erp/stock.csv", access, tmp_path).read_bytes() == b"bin_id"
    assert download_file(str(s3.root / "erp" / "stock.csv"), access, tmp_path).read_bytes() == b"bin_id"
    for missing in ("s3://erp/none.csv", str(tmp_path / "none.csv")):
        with pytest.raises(ReconcileError, match=r"none\.csv"):
            download_file(missing, access, tmp_path)


def test_keys_that_no_file_system_has_and_markers_of_folders(moto):
    import boto3

    client = boto3.client("s3", endpoint_url=moto.endpoint_url, region_name="us-east-1")
    client.create_bucket(Bucket="odd")
    keys = ["a.jpg", "b//2.jpg", "c/./3.jpg", "tab\there.jpg", "z/5.jpg"]
    for key in keys:
        client.put_object(Bucket="odd", Key=f"photos/{key}", Body=key.encode())
    for marker in ("photos/", "photos/z/", "photos/empty/"):
        client.put_object(Bucket="odd", Key=marker, Body=b"")
    client.put_object(Bucket="odd", Key="photos/nothing.jpg", Body=b"")
    bucket = open_bucket("odd", moto)
    listed = [stored for page in bucket.list_pages("photos/") for stored in page]
    assert sorted(stored.key for stored in listed) == sorted(f"photos/{key}" for key in [*keys, "nothing.jpg"])
    for stored in listed:
        assert bucket.get(stored.key, stored.etag).decode() == (
            stored.key.removeprefix("photos/") if stored.size else ""
        )


def test_markers_of_folders_are_left_out_where_all_keys_are_plain(moto):
    import boto3

    client = boto3.client("s3", endpoint_url=moto.endpoint_url, region_name="us-east-1")
    client.create_bucket(Bucket="plain")
    for key in ("p/", "p/1.jpg", "p/nothing-in-it/", "p/sub/", "p/sub/2.jpg", "p/zero.jpg", "p/zzz-nor-in-it/"):
        client.put_object(Bucket="plain", Key=key, Body=b"photo" if key.endswith(("1.jpg", "2.jpg")) else b"")
    pages = open_bucket("plain", moto).list_pages("p/")
    assert [stored.key for page in pages for stored in page] == ["p/1.jpg", "p/sub/2.jpg", "p/zero.jpg"]


def test_every_file_of_a_folder_is_listed_and_says_why_it_cannot_be_read(tmp_path):
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "loop").symlink_to(folder)
    (folder / "dangling.jpg").symlink_to("nowhere")
    (folder / "circle.jpg").symlink_to("circle.jpg")
    os.mkfifo(folder / "pipe.jpg")
    for name in ("a.jpg", "a-b.jpg", "tab\there.jpg", "x#1", "sub/c.jpg", "sub-d.jpg"):
        (folder / name).write_bytes(b"photo")
    Path(os.fsdecode(bytes(folder) + b"/latin-\xff.jpg")).write_bytes(b"photo")
    bucket = open_bucket(str(folder), S3Access())
    keys = [stored.key for page in bucket.list_pages() for stored in page]
    readable = ["a-b.jpg", "a.jpg", "sub-d.jpg", "sub/c.jpg", "tab\there.jpg", "x#1"]
    assert keys == sorted([*readable, "circle.jpg", "dangling.jpg", "latin-\\xff.jpg", "pipe.jpg"])
    assert {bucket.get(key) for key in readable} == {b"photo"}
    for key, reason in (("dangling.jpg", "the link is broken"), ("latin-\\xff.jpg", "name is not UTF-8")):
        with pytest.raises(FetchError, match=reason):
            bucket.get(key)
