"""Access to the app: the token, the cookie, guesses, paths, headers and TLS."""

import datetime
import io
import ipaddress
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from PIL import Image

from reconcile.images import UnreadableImage
from reconcile.recounting import access
from reconcile.recounting.photos import shown_photo
from tests.conftest import reconcile
from tests.recount_phones import TOKEN

SECRETS = ("A-1-2", "B0TEST", "n1", TOKEN)


@pytest.mark.parametrize(
    "path", ["/", "/api/queue", "/photos/n1/1", "/api/poll", "/api/entries", "/nothing", "/../out", "/?token=", "//"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "PUT"])
def test_nobody_without_the_token_gets_a_byte(app, path, method):
    status, body, headers = app.request(method, path, {}, content_type="application/json", cookie="cookie=x")
    assert status == 401
    assert not any(secret in body.decode() + str(headers) for secret in SECRETS)
    assert "set-cookie" not in headers


def test_address_with_the_token_sets_a_hidden_cookie(app):
    status, _, headers = app.request("GET", f"/?token={TOKEN}")
    assert status == 200
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in headers["set-cookie"].split(";")}
    assert TOKEN not in headers["set-cookie"]
    cookie = headers["set-cookie"].split(";")[0]
    assert app.request("GET", "/api/queue", cookie=cookie)[0] == 200
    assert app.request("GET", "/api/queue", authorization=f"Bearer {TOKEN}")[0] == 200
    assert app.request("GET", "/api/queue", cookie=cookie[:-1])[0] == 401


def test_ten_thousand_guesses_change_nothing(app):
    ann = app.phone("Ann")
    statuses = [app.request("GET", f"/?token=guess-{number:020d}")[0] for number in range(10_000)]
    assert statuses[: access.GUESSES] == [401] * access.GUESSES
    assert statuses.count(401) < access.GUESSES + 5
    assert set(statuses) == {401, 429}
    assert app.request("GET", f"/?token={TOKEN}")[0] == 429, "from this address, even the token has to wait"
    assert app.request("GET", f"/?token={TOKEN}", client="192.0.2.8")[0] == 200
    assert ann.get("/api/queue")[0] == 200, "a phone that is in stays in"
    for number in range(30):
        app.request("GET", "/?token=wrong", client=f"2001:db8::{number:x}")
    assert app.request("GET", "/?token=wrong", client="2001:db8::ffff")[0] == 429, "a network of IPv6 is one address"


@pytest.mark.parametrize(
    "path",
    [
        "/photos/n1/0",
        "/photos/n1/99",
        "/photos/n1/-1",
        "/photos/n1/1.5",
        "/photos/../1",
        "/photos/..%2f..%2fetc/1",
        "/photos/n9/1",
        "/photos/n1/1/../../../etc/passwd",
        "/photos//etc/passwd/1",
        "/api/queue/../../out",
        "/static/../../pyproject.toml",
    ],
)
def test_paths_lead_nowhere_else(app, path):
    status, body, _ = app.phone("Ann").get(path)
    assert status == 404
    assert b"root:" not in body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"null",
        b'{"who": "x"}',
        b'{"device": "../../../etc", "who": "x"}',
        b"[" * 100_000,
        b'{"device": "12345678", "who": "x", "entries": {}}',
        b'{"device": "12345678", "who": "", "entries": []}',
    ],
)
def test_malformed_requests_are_refused(app, body):
    ann = app.phone("Ann")
    for path in ("/api/entries", "/api/poll"):
        headers = {"cookie": ann.cookie, "content_type": "application/json"}
        status, answer, _ = app.request("POST", path, body, **headers)
        assert status == 400 or (path == "/api/poll" and b"entries" in body and b'""' not in body), answer
    assert app.request("POST", "/api/entries", body, cookie=ann.cookie)[0] == 415, "forms of other sites send no JSON"
    assert app.request("POST", "/api/entries", b"x" * 300_000, **headers)[0] == 413


def test_headers_forbid_everything_foreign(app):
    ann = app.phone("Ann")
    for path in ("/", "/api/queue", "/photos/n1/1", "/nothing"):
        headers = ann.get(path)[2]
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer", "the token is in the first address"
        assert headers["x-frame-options"] == "DENY"


def test_photo_comes_at_its_original_resolution(app, counted_bins):
    ann = app.phone("Ann")
    number = ann.queue()["cards"]["A-1-2"]["n"]
    status, body, headers = ann.get(f"/photos/n1/{number}")
    assert (status, headers["content-type"]) == (200, "image/jpeg")
    assert body == (counted_bins / "w/bin-images/A-1-2.jpg").read_bytes()


@pytest.mark.parametrize("name", ["TIFF", "PNG"])
def test_photo_of_another_format_is_converted_for_browsers(name):
    buffer = io.BytesIO()
    Image.new("RGB", (640, 480), "grey").save(buffer, name)
    photo = shown_photo(buffer.getvalue())
    assert photo.media_type == {"TIFF": "image/webp", "PNG": "image/png"}[name]
    with Image.open(io.BytesIO(photo.data)) as shown:
        assert shown.size == (640, 480)


@pytest.mark.parametrize("data", [b"<html><script>", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7", b""])
def test_nothing_but_an_image_is_sent_as_a_photo(data):
    with pytest.raises(UnreadableImage):
        shown_photo(data)


def test_tls_sets_a_secure_cookie(start_process, tmp_path):
    certificate, key = make_certificate(tmp_path)
    process = start_process("--tls-cert", certificate, "--tls-key", key)
    process.context = ssl.create_default_context(cafile=str(certificate))
    assert process.address.startswith("https://127.0.0.1:")
    status, _, headers = process.request("GET", f"/?token={TOKEN}")
    assert status == 200
    assert "Secure" in headers["set-cookie"]


def test_start_prints_the_address_and_how_to_open_the_network(start_process):
    process = start_process(token=None)
    assert process.address.startswith(f"http://127.0.0.1:{process.port}/?token=")
    log = process.log.read_text()
    assert "only this machine can open the app; for phones, start it with --host 0.0.0.0" in log
    token = process.address.partition("token=")[2]
    assert len(token) >= 20
    assert token not in log
    process.kill()
    process.start()
    assert process.address.endswith(token), "phones stay in after a restart"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--token", "short"], "--token (or RECONCILE_RECOUNT_TOKEN) must hold one token"),
        (["--tls-key", "recount.key"], "--tls-key needs --tls-cert"),
        (["--tls-cert", "recount.key"], "--tls-cert recount.key cannot be used"),
        (["--tolerance", "1"], "--tolerance needs --second-count"),
        (["--where", "("], "--where: expected a regular expression"),
    ],
)
def test_wrong_usage_ends_in_one_line(out, tmp_path, arguments, message):
    (tmp_path / "recount.key").write_text("no key")
    done = reconcile("recount", "--out", out, "--port", "0", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "short" not in done.stderr.partition("must")[0]


def make_certificate(folder):
    """Write a self-signed certificate for 127.0.0.1, and return the paths of the certificate and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(1))
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = builder.add_extension(alternative, critical=False).sign(key, hashes.SHA256())
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, plain)
    )
    return paths
