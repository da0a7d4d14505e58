"""Settings: flags override the environment, which overrides reconcile.toml, which overrides the defaults."""

from pathlib import Path

import pytest

from reconcile.config import load_settings, unknown_variables
from reconcile.errors import UsageError


def test_flags_override_environment_file_and_defaults(monkeypatch):
    Path("reconcile.toml").write_text('bucket = "file"\nbatch_size = 8\nregion = "file"\nalarm = "60%"\n')
    monkeypatch.setenv("RECONCILE_BUCKET", "environment")
    monkeypatch.setenv("RECONCILE_BATCH_SIZE", "16")
    settings = load_settings({"bucket": "flag", "region": None})
    assert (settings.bucket, settings.batch_size, settings.region, settings.device) == ("flag", 16, "file", "auto")
    assert settings.alarm == pytest.approx(0.6)


def test_every_option_of_run_can_come_from_the_environment(monkeypatch):
    values = {
        "bucket": "b", "images_prefix": "i/", "records_prefix": "r/", "records": "t.csv", "keys": "k.csv",
        "records_columns": "bin_id=loc", "records_aggregate": "sum", "records_decimal": ",",
        "endpoint_url": "http://e:1", "region": "r", "profile": "p",
        "no_sign_request": "true", "out": "o", "model": "m.onnx", "device": "cpu", "batch_size": "4", "limit": "9",
        "run_id": "night-1", "log_format": "json", "max_unreadable": "10%", "max_invalid": "9%", "alarm": "0.5",
        "max_blank": "5%",
        "record_error_rate": "2%", "capacity": "40", "rank_by": "units", "costs": "c.csv",
        "recount_format": "both", "tolerance": "1", "where": "(?P<a>.)", "stale_after": "15", "engine": "sagemaker",
        "image_uri": "e/r:1", "role": "arn:aws:iam::1:role/r", "instance_type": "ml.c5.large", "instance_count": "2",
        "sagemaker_options": "s.json", "ray_address": "h:1", "ray_gpus_per_actor": "0.5",
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(f"RECONCILE_{name.upper()}", value)
    settings = load_settings({})
    assert set(values) == set(type(settings).model_fields)
    assert settings.records_columns == {"bin_id": "loc"}
    assert (settings.records_aggregate, settings.records_decimal) == ("sum", "comma")
    assert (settings.no_sign_request, settings.limit, settings.max_unreadable, settings.alarm) == (True, 9, 0.1, 0.5)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({}, "--bucket is missing"),
        ({"bucket": "b", "batch_size": 0}, r"^--batch-size: expected 1 or more \(got 0\)$"),
        ({"bucket": "b", "ray_gpus_per_actor": 2}, r"--ray-gpus-per-actor: expected 1 or less \(got 2\)"),
        ({"bucket": "b", "limit": -3}, "--limit"),
        ({"bucket": "b", "device": "tpu"}, "--device: expected auto, cpu, cuda or tensorrt"),
        ({"bucket": "b", "max_unreadable": "150%"}, "--max-unreadable: expected 0% to 100%, such as 5% or 0.05"),
        ({"bucket": "b", "alarm": "often"}, "--alarm"),
        ({"bucket": "b", "run_id": "../elsewhere"}, "--run-id: expected at most 100 letters, digits"),
        ({"bucket": "b", "records_columns": "bin=3"}, "--records-columns: has the unknown name bin; use"),
        ({"bucket": "b", "endpoint_url": "localhost:9000"}, "--endpoint-url: expected http://HOST:PORT"),
        ({"bucket": "b", "endpoint_url": "http://user:hunter2@h"}, "--endpoint-url: holds credentials((?!hunter2).)*$"),
        ({"bucket": "b", "endpoint_url": "http://h?X-Amz-Signature=hunter2"}, "--endpoint-url: holds((?!hunter2).)*$"),
        ({"bucket": "https://h/?X-Amz-Signature=hunter2"}, "--bucket: is a web address((?!hunter2).)*$"),
        ({"bucket": "b", "records": "https://h/stock.csv?sig=hunter2"}, "--records: is a web((?!hunter2).)*$"),
        ({"bucket": "s3://k:hunter2@b"}, "--bucket: holds credentials((?!hunter2).)*$"),
        ({"bucket": "b", "records": "postgresql://u:hunter2@h/db"}, "--records: has the scheme post((?!hunter2).)*$"),
        ({"bucket": "b", "out": "gs://b/out"}, "--out: has the scheme gs://, which reconcile does not support"),
        ({"bucket": "b", "model": Path("https://u:hunter2@h/m.onnx")}, "--model: ((?!hunter2).)*$"),
        ({"bucket": "b", "model": Path("s3://b/m.onnx")}, "--model: expected a path on this machine$"),
        ({"bucket": "b", "ray_address": "ray://u:hunter2@h"}, "--ray-address: holds credentials((?!hunter2).)*$"),
        ({"bucket": "b", "device": "s3://k:hunter2@h"}, "--device: ((?!hunter2).)*$"),
        ({"bucket": "b", "device": "user:hunter2@h"}, "--device: ((?!hunter2).)*$"),
        ({"bucket": "b", "capacity": 1_000_001}, "--capacity: expected 1,000,000 or less"),
        ({"bucket": "b", "records_columns": {"bin_id": 7}}, "--records-columns bin_id: expected text in quotes"),
        ({"bucket": "b", "records_columns": 7}, "--records-columns: expected names with values"),
        ({"bucket": "b", "records_aggregate": "add"}, "--records-aggregate: expected sum or same"),
        ({"bucket": "b", "records_decimal": "semicolon"}, "--records-decimal: expected comma or point"),
        (
            {"bucket": "b", "records_columns": "expected_quantity=A,product_quantity=B"},
            "--records-columns: names both expected_quantity and product_quantity",
        ),
        ({"bucket": "b", "records_columns": "nonsense"}, "--records-columns: expected bin_id=COLUMN"),
    ],
)
def test_wrong_setting_names_its_flag(flags, message):
    with pytest.raises(UsageError, match=message):
        load_settings(flags)


def test_locations_on_s3_have_one_scheme():
    settings = load_settings({"bucket": "s3a://b/x", "out": "S3://o", "records": "arn:aws:s3:::b/stock.csv"})
    assert (settings.bucket, settings.out, settings.records) == ("s3://b/x", "s3://o", "s3://b/stock.csv")


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("BUKET", "BUCKET"),
        ("IMAGE_PREFIX", "IMAGES_PREFIX"),
        ("ALRAM", "ALARM"),
        ("ENDPOINT", "ENDPOINT_URL"),
        ("logformat", "LOG_FORMAT"),
        ("SERVE_TOKN", "SERVE_TOKEN"),
        ("SERVE_BUCKET", "SERVE_BUCKETS"),
    ],
)
def test_misspelled_variable_is_wrong_usage(monkeypatch, slip, meant):
    monkeypatch.setenv(f"RECONCILE_{slip}", "value")
    with pytest.raises(UsageError, match=rf"^there is no setting RECONCILE_{slip}; did you mean RECONCILE_{meant}\?$"):
        load_settings({"bucket": "b"})
    assert load_settings({"bucket": "b"}, flags_only=True).bucket == "b"


def test_unrelated_variables_do_not_stop_the_command(monkeypatch):
    # Kubernetes sets them, for a service with the name reconcile.
    for name in ("SERVICE_HOST", "PORT", "PORT_80_TCP", "DEBUG", "SERVE_TOKEN", "SERVE_BUCKETS"):
        monkeypatch.setenv(f"RECONCILE_{name}", "value")
    assert load_settings({"bucket": "b"}).bucket == "b"
    assert unknown_variables() == ["RECONCILE_PORT", "RECONCILE_PORT_80_TCP", "RECONCILE_SERVICE_HOST"]


def test_wrong_setting_names_its_source(monkeypatch):
    Path("reconcile.toml").write_text(
        'capacity = "lots"\ntolerance = -1\nrun_id = 7\nstale_after = true\nrecords_columns = {bin_id = 1}\n'
    )
    monkeypatch.setenv("RECONCILE_TOLERANCE", "-2")
    with pytest.raises(UsageError) as refused:
        load_settings({"limit": 0})
    assert sorted(str(refused.value).split("; ")) == [
        "--limit: expected 1 or more (got 0)",
        "RECONCILE_TOLERANCE: expected 0 or more (got '-2')",
        "capacity in reconcile.toml: expected a whole number (got 'lots')",
        "records_columns bin_id in reconcile.toml: expected text in quotes (got 1)",
        "run_id in reconcile.toml: expected text in quotes (got 7)",
        "stale_after in reconcile.toml: cannot be true or false (got true)",
    ]


def test_settings_file_that_is_not_text_is_refused():
    Path("reconcile.toml").write_bytes(b'bucket = "caf\xe9"')
    with pytest.raises(UsageError, match=r"reconcile\.toml cannot be read"):
        load_settings({"bucket": "b"})


def test_flags_only_ignores_environment_and_file(monkeypatch):
    Path("reconcile.toml").write_text('images_prefix = "file/"\n')
    monkeypatch.setenv("RECONCILE_LIMIT", "3")
    settings = load_settings({"bucket": "b"}, flags_only=True)
    assert (settings.images_prefix, settings.limit) == ("bin-images/", None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bukket = 1", r"there is no setting bukket; did you mean bucket\?$"),
        ("max-unreadable = 1", r"there is no setting max-unreadable; did you mean max_unreadable\?$"),
        ("colour = 1", "there is no setting colour$"),
        ("bucket = ", "cannot be read"),
        ('where = "(?P<pod>\\d+)"', "cannot be read: .*; write text with a backslash in single quotes$"),
    ],
)
def test_invalid_settings_file_is_refused_with_advice(text, message):
    Path("reconcile.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        load_settings({"bucket": "b"})
