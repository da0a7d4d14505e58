"""Addresses, regions and certificates of buckets: obstore and boto3 use those that boto3 alone would use."""

import socketserver
import threading
from pathlib import Path

import boto3
import pytest

from reconcile.errors import ReconcileError, UsageError
from reconcile.storage import retry, s3_client  # noqa: F401 # s3_client keeps the real time limit
from reconcile.storage.base import S3Access
from reconcile.storage.open import open_bucket
from tests.conftest import ACCESS_KEY, SECRET_KEY, reconcile, write_bucket

FLAG, SERVICE_VARIABLE, VARIABLE = "http://127.0.0.1:1001", "http://127.0.0.1:1002", "http://127.0.0.1:1003"
SERVICE, PROFILE = "http://127.0.0.1:1004", "http://127.0.0.1:1005"
POINT = "arn:aws:s3:us-west-2:123456789012:accesspoint/floor"


@pytest.fixture
def profile(monkeypatch, tmp_path):
    """Return a function that writes the AWS configuration of the profile `floor`."""

    def write(text):
        path = tmp_path / "aws-config"
        path.write_text(text)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
        monkeypatch.setenv("AWS_PROFILE", "floor")

    return write


WITH_SERVICES = f"""
[profile floor]
region = us-east-1
services = here
endpoint_url = {PROFILE}
[services here]
s3 =
  endpoint_url = {SERVICE}
"""
WITH_ENDPOINT = f"[profile floor]\nregion = us-east-1\nendpoint_url = {PROFILE}\n"


@pytest.mark.parametrize(
    ("flag", "variables", "configuration", "expected"),
    [
        (FLAG, {"AWS_ENDPOINT_URL_S3": SERVICE_VARIABLE, "AWS_ENDPOINT_URL": VARIABLE}, WITH_SERVICES, FLAG),
        (
            None,
            {"AWS_ENDPOINT_URL_S3": SERVICE_VARIABLE, "AWS_ENDPOINT_URL": VARIABLE},
            WITH_SERVICES,
            SERVICE_VARIABLE,
        ),
        (None, {"AWS_ENDPOINT_URL": VARIABLE}, WITH_SERVICES, VARIABLE),
        (None, {"AWS_ENDPOINT_URL_S3": "", "AWS_ENDPOINT_URL": ""}, WITH_SERVICES, SERVICE),
        (None, {"AWS_ENDPOINT": FLAG}, WITH_SERVICES, SERVICE),
        (None, {}, WITH_ENDPOINT, PROFILE),
        (None, {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true", "AWS_ENDPOINT_URL": VARIABLE}, WITH_SERVICES, None),
        (FLAG, {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true", "AWS_ENDPOINT_URL": VARIABLE}, WITH_SERVICES, FLAG),
        (None, {"AWS_ENDPOINT": FLAG, "AWS_BUCKET": "other", "AWS_S3_EXPRESS": "true"}, "[profile floor]\n", None),
    ],
)
def test_endpoint_has_the_precedence_of_boto3(profile, monkeypatch, flag, variables, configuration, expected):
    profile(configuration)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    bucket = open_bucket("bins", S3Access(endpoint_url=flag))
    alone = boto3.Session(region_name="us-east-1").client("s3", endpoint_url=flag)
    assert bucket._connection.boto.meta.endpoint_url == alone.meta.endpoint_url
    assert bucket.access.endpoint_url == expected
    assert bucket.address == (f"{expected}/bins" if expected else "https://bins.s3.amazonaws.com")


@pytest.fixture
def proxied_hosts(monkeypatch):
    """Send all https requests to a proxy that refuses them. Return the list of the hosts that were asked for."""
    hosts = []

    class Proxy(socketserver.StreamRequestHandler):
        def handle(self):
            hosts.append(self.rfile.readline().split()[1].decode())
            self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")

    monkeypatch.setattr(retry, "BUDGET_SECONDS", 0.01)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{server.server_address[1]}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield hosts
        server.shutdown()


@pytest.mark.parametrize(
    ("name", "region", "variables", "address"),
    [
        ("bins", "eu-west-1", {}, "https://bins.s3.eu-west-1.amazonaws.com"),
        ("my.bins.com", "eu-west-1", {}, "https://s3.eu-west-1.amazonaws.com/my.bins.com"),
        ("bins", "cn-north-1", {}, "https://bins.s3.cn-north-1.amazonaws.com.cn"),
        ("my.bins", "cn-northwest-1", {}, "https://s3.cn-northwest-1.amazonaws.com.cn/my.bins"),
        ("bins", "us-gov-west-1", {}, "https://bins.s3.us-gov-west-1.amazonaws.com"),
        (
            "bins",
            "us-gov-west-1",
            {"AWS_USE_FIPS_ENDPOINT": "true"},
            "https://bins.s3-fips.us-gov-west-1.amazonaws.com",
        ),
        (
            "bins",
            "eu-west-1",
            {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
            "https://bins.s3.dualstack.eu-west-1.amazonaws.com",
        ),
        (
            "bins",
            "us-east-2",
            {"AWS_USE_DUALSTACK_ENDPOINT": "true", "AWS_USE_FIPS_ENDPOINT": "true"},
            "https://bins.s3-fips.dualstack.us-east-2.amazonaws.com",
        ),
        (POINT, "eu-west-1", {}, "https://floor-123456789012.s3-accesspoint.us-west-2.amazonaws.com"),
        ("floor-0123456789abcdef-s3alias", "eu-west-1", {}, "https://floor-0123456789abcdef-s3alias.s3.eu-west-1.amazonaws.com"),
    ],
)  # fmt: skip
def test_both_libraries_use_the_address_of_boto3(proxied_hosts, monkeypatch, name, region, variables, address):
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    bucket = open_bucket(name, S3Access(region=region))
    assert bucket.address == address
    host = address.split("/")[2]
    for prefix in ("a", "b//c/"):  # obstore lists the first, boto3 the second
        proxied_hosts.clear()
        with pytest.raises(ReconcileError, match="cannot list"):
            next(bucket.list_pages(prefix))
        assert set(proxied_hosts) == {f"{host}:443"}


def test_addressing_style_of_a_profile_is_heeded(profile):
    profile("[profile floor]\nregion = eu-west-1\ns3 =\n  addressing_style = path\n")
    assert open_bucket("bins", S3Access()).address == "https://s3.eu-west-1.amazonaws.com/bins"
    profile("[profile floor]\nregion = eu-west-1\ns3 =\n  use_accelerate_endpoint = true\n")
    assert open_bucket("bins", S3Access()).address == "https://bins.s3-accelerate.amazonaws.com"


def test_requests_to_an_access_point_are_signed_for_its_region():
    connection = open_bucket(f"{POINT}/aisle", S3Access(region="eu-west-1"))._connection
    assert (connection.region, connection.endpoint.region) == ("eu-west-1", "us-west-2")
    assert connection.reading.config["region"] == "us-west-2"


def test_name_that_boto3_refuses_is_one_line(monkeypatch):
    with pytest.raises(UsageError, match="partition `aws` but ARN") as raised:
        open_bucket("arn:aws-cn:s3:cn-north-1:123456789012:accesspoint/floor", S3Access(region="eu-west-1"))
    assert "\n" not in str(raised.value)
    monkeypatch.setenv("AWS_S3_USE_ARN_REGION", "false")
    with pytest.raises(UsageError, match="does not match client region"):
        open_bucket(POINT, S3Access(region="eu-west-1"))


@pytest.mark.parametrize("source", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "ca_bundle"])
def test_certificates_of_boto3_are_trusted_by_both_libraries(https_s3, profile, monkeypatch, source):
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(retry, "FIRST_PAUSE_SECONDS", 0.001)
    access = S3Access(endpoint_url=https_s3.url, region="us-east-1")
    with pytest.raises(ReconcileError, match="does not trust the server's certificate"):
        list(open_bucket("bins", access).list_pages())
    if source == "ca_bundle":
        profile(f"[profile floor]\nca_bundle = {https_s3.certificate}\n")
    else:
        monkeypatch.setenv(source, str(https_s3.certificate))
    bucket = open_bucket("bins", access)
    keys = [stored.key for page in bucket.list_pages() for stored in page]
    assert keys == ["a//b.jpg", "c.jpg"]
    assert [bucket.get(key) for key in keys] == [b"boto3", b"obstore"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file or directory"),
        ("garbage", "cannot be used: No certificates found"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be used: "),
    ],
)
def test_unusable_certificates_are_one_line(monkeypatch, tmp_path, content, reason):
    path = tmp_path / "bundle.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(path))
    with pytest.raises(ReconcileError, match=f"^the CA bundle .*{reason}") as raised:
        open_bucket("bins", S3Access(region="us-east-1"))
    assert "\n" not in str(raised.value)


def test_flag_wins_over_variable_for_bucket_and_output(s3, start_s3_server, grey_model, tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    other = start_s3_server(tmp_path / "other")
    for server in (s3, other):
        write_bucket(server.root / "warehouse", {"1": (1, 1), "2": (2, 3)})
        (server.root / "results").mkdir()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", other.endpoint_url)
    before = sorted(other.root.rglob("*"))
    done = reconcile(
        "run", "--bucket", "warehouse", "--out", "s3://results/out", "--model", grey_model,
        "--endpoint-url", s3.endpoint_url,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert list((s3.root / "results" / "out" / "runs").glob("*/summary.json"))
    assert sorted(other.root.rglob("*")) == before
    for name in ("warehouse", "results"):
        assert f"{s3.endpoint_url}/{name}" in done.stderr, "the addresses in use are logged"


def test_profile_with_a_services_section_reaches_its_server(s3, grey_model, tmp_path, monkeypatch):
    write_bucket(s3.root / "warehouse", {"1": (1, 1)})
    # A profile that an option names has credentials of its own.
    keys = f"aws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n[services"
    Path(tmp_path / "config").write_text(WITH_SERVICES.replace(SERVICE, s3.endpoint_url).replace("[services", keys))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    done = reconcile("run", "--bucket", "warehouse", "--profile", "floor", "--model", grey_model, "--out", "out")
    assert done.returncode == 0, done.stderr
    assert f"{s3.endpoint_url}/warehouse" in done.stderr
