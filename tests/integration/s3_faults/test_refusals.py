"""Requests that S3 refuses: its own code and sentence reach the person who can do something about it."""

import html

import pytest

from reconcile.errors import ReconcileError
from reconcile.storage.base import FetchError, S3Access
from reconcile.storage.open import open_bucket
from tests.integration.s3_faults.faulty_proxy import Rule, faulty_proxy
from tests.integration.s3_faults.s3_helpers import boto_client

ARCHIVED = "The operation is not valid for the object's storage class"
NO_KEY = (
    "User: arn:aws:sts::123456789012:assumed-role/count/night is not authorized to perform: kms:Decrypt on resource: "
    "arn:aws:kms:eu-west-1:123456789012:key/0123 because no identity-based policy allows the kms:Decrypt action"
)
DISABLED = "arn:aws:kms:eu-west-1:123456789012:key/0123 is disabled."
TOKEN = "session-token-that-stays-secret"


def refusal(status, code, sentence):
    """Return a fault: an S3 error with a sentence. Like Amazon S3, it repeats the session token."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{html.escape(sentence)}</Message>"
    body += f"<Token-0>{TOKEN}</Token-0></Error>"
    return lambda exchange: exchange.send(status, [("Content-Type", "application/xml")], body.encode())


@pytest.mark.parametrize(
    ("status", "code", "sentence", "advice"),
    [
        (403, "InvalidObjectState", ARCHIVED, "the object is archived; restore it first"),
        (403, "AccessDenied", NO_KEY, "access denied"),
        (403, "AccessDenied", "Access Denied", "check the credentials' permissions or --no-sign-request"),
        (400, "KMS.DisabledException", DISABLED, "cannot read s3://results"),
        (403, "AllAccessDisabled", "All access to this object has been disabled", "access denied"),
    ],
)
@pytest.mark.parametrize("key", ["a.jpg", "a//b.jpg"], ids=["obstore", "boto3"])
def test_reason_of_a_refused_object_has_the_words_of_s3(moto, monkeypatch, key, status, code, sentence, advice):
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    boto_client(moto).put_object(Bucket="results", Key=key, Body=b"photo")
    with faulty_proxy(moto, Rule(f"GET /results/{key}", refusal(status, code, sentence))) as proxy:
        with pytest.raises(FetchError) as raised:
            open_bucket("results", S3Access(proxy.url)).get(key)
        assert proxy.count("GET") == 1, "no retry can help"
    reason = str(raised.value)
    assert f"{code}: {sentence}" in reason or f"{code} {sentence}" in reason
    assert advice in reason
    assert TOKEN not in reason
    assert "\n" not in reason
    assert ("--no-sign-request" in reason) == (sentence == "Access Denied")


@pytest.mark.parametrize(
    "work",
    [
        lambda bucket: next(bucket.list_pages()),
        lambda bucket: bucket.put("a", b"x"),
        lambda bucket: bucket.create("a", b"x"),
        lambda bucket: bucket.delete("a"),
    ],
    ids=["list", "write", "create", "delete"],
)
def test_refused_work_on_a_bucket_has_the_words_of_s3(moto, work):
    denied = "User: arn:aws:iam::123456789012:user/night is not authorized to perform: s3:Some because of a boundary"
    with faulty_proxy(moto, Rule("", refusal(403, "AccessDenied", denied))) as proxy:
        bucket = open_bucket("results", S3Access(proxy.url))
        with pytest.raises(ReconcileError, match=f"access denied .AccessDenied: {denied}"):
            work(bucket)
