"""A stand-in for SageMaker's batch transform. moto simulates the API, and this module does the work of a job.

It follows the documentation of the service. One instance processes all lines of an input object. As many lines as fit
into the payload limit make one request. A request is repeated after a status 5xx; a status 4xx fails the job. When all
responses for an object have arrived, they are joined by line and written as `<object>.out`. Containers are real
processes of `reconcile serve`. They are asked for /ping and /execution-parameters first.
"""

import io
import json
import os
import subprocess
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import boto3
from moto.core.responses import ActionResult
from moto.sagemaker.exceptions import ResourceInUseException, SagemakerClientError, ValidationError
from moto.sagemaker.models import SageMakerModelBackend, sagemaker_backends
from moto.sagemaker.responses import SageMakerResponse

from tests.conftest import ACCESS_KEY, SCRIPTS, SECRET_KEY
from tests.process_log import wait_for

ACCOUNT, REGION = "123456789012", "us-east-1"
LOG_GROUP = "/aws/sagemaker/TransformJobs"


def client(name, url):
    """Return the boto3 client of one service."""
    keys = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY}
    return boto3.client(name, endpoint_url=url, region_name=REGION, **keys)


def write_log(url, group, stream, message):
    """Write one line to a log stream of CloudWatch."""
    logs = client("logs", url)
    if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
        logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    event = {"timestamp": int(time.time() * 1000), "message": message}
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[event])


class JobFailed(Exception):
    """An error of the container or its input. The message goes to the log."""


class AccessDenied(SagemakerClientError):
    """An error for a missing permission."""

    code = "AccessDeniedException"


@dataclass
class TransformService:
    """The transform jobs of one account, with switches that cause failures."""

    s3_url: str
    moto_url: str
    may_work: threading.Event = field(default_factory=threading.Event)
    """While cleared, jobs are InProgress and do nothing."""
    may_end: threading.Event = field(default_factory=threading.Event)
    """While cleared, jobs that have written all responses stay InProgress."""
    fails_at: str | None = None
    """The name of an input object that the container rejects."""
    loses: str | None = None
    """The name of an input object whose response is lost."""
    forbids_deleting: bool = False
    """True if the permission to delete models is missing."""
    container: dict[str, str] = field(default_factory=dict)
    """The environment variables that the image sets."""
    requests: list[str] = field(default_factory=list)
    """The paths of all requests to containers, in order."""
    sent: list[str] = field(default_factory=list)
    """The keys that were sent to containers."""
    objects: dict[str, list[str]] = field(default_factory=dict)
    """Instance to its input objects."""

    def __post_init__(self):
        self.may_work.set()
        self.may_end.set()

    @property
    def backend(self):
        return sagemaker_backends[ACCOUNT][REGION]

    @property
    def jobs(self):
        return list(self.backend.transform_jobs.values())

    @property
    def models(self):
        return list(self.backend._models)

    def client(self, name):
        return client(name, self.s3_url if name == "s3" else self.moto_url)

    def install(self, patch):
        """Let moto's transform jobs run in this stand-in."""
        create = SageMakerModelBackend.create_transform_job

        def create_transform_job(backend, **request):
            name = request["transform_job_name"]
            if name in backend.transform_jobs:
                raise ResourceInUseException(f"Job name must be unique: {name}")
            job = create(backend, **request)
            job.transform_job_status = "InProgress"
            threading.Thread(target=self._work, args=(job,), daemon=True).start()
            return job

        def stop_transform_job(response):
            job = self.backend.transform_jobs[response._get_param("TransformJobName")]
            if job.transform_job_status != "InProgress":
                raise ValidationError(
                    f"The request was rejected because the transform job is in status {job.transform_job_status}"
                )
            job.transform_job_status = "Stopping"
            self.may_work.set()
            self.may_end.set()
            return ActionResult({})

        delete = SageMakerModelBackend.delete_model

        def delete_model(backend, model_name):
            if self.forbids_deleting:
                raise AccessDenied(
                    "User: arn:aws:iam::1:user/cron is not authorized to perform: sagemaker:DeleteModel on resource: "
                    f"arn:aws:sagemaker:us-east-1:1:model/{model_name}"
                )
            delete(backend, model_name)

        patch.setattr(SageMakerModelBackend, "delete_model", delete_model)
        patch.setattr(SageMakerModelBackend, "create_transform_job", create_transform_job)
        patch.setattr(SageMakerResponse, "stop_transform_job", stop_transform_job, raising=False)

    def wait(self):
        """Wait until every job has ended."""
        while any(job.transform_job_status in ("InProgress", "Stopping") for job in self.jobs):
            time.sleep(0.05)

    def _work(self, job):
        status, reason = "Failed", "InternalServerError: something went wrong in this stand-in"
        try:
            try:
                self.may_work.wait()
                if job.transform_job_status == "InProgress":
                    self._transform(job)
                self.may_end.wait()
                status, reason = "Completed", ""
            except Exception as error:
                stream = f"{job.transform_job_name}/i-0123456789-1700000000/data-log"
                write_log(self.moto_url, LOG_GROUP, stream, str(error))
                reason = "ClientError: See job logs for more information"
            if job.transform_job_status == "Stopping":
                self._write_late_response(job)
                status = "Stopped"
        finally:  # after any error here the job ends, so that no test waits for ever
            job.failure_reason, job.transform_job_status = reason, status

    def _write_late_response(self, job):
        """Write the response to a request that was in flight when the job was stopped."""
        time.sleep(0.2)
        target = urlsplit(job.transform_output["S3OutputPath"])
        key = f"{target.path.strip('/')}/in-flight.jsonl.out"
        self.client("s3").put_object(Bucket=target.netloc, Key=key, Body=b"")

    def _transform(self, job):
        s3 = self.client("s3")
        container = self.backend._models[job.model_name].primary_container
        source = urlsplit(job.transform_input["DataSource"]["S3DataSource"]["S3Uri"])
        bucket, prefix = source.netloc, source.path.lstrip("/")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        count = job.transform_resources["InstanceCount"]
        with tempfile.TemporaryDirectory() as folder:
            archive = urlsplit(container["ModelDataUrl"])
            data = s3.get_object(Bucket=archive.netloc, Key=archive.path.lstrip("/"))["Body"].read()
            with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
                tar.extractall(folder, filter="data")
            with ThreadPoolExecutor(count) as pool:
                done = [
                    pool.submit(
                        self._instance, job, container["Environment"], folder, prefix, keys[number::count], number
                    )
                    for number in range(count)
                ]
                for instance in done:
                    instance.result()

    def _instance(self, job, environment, model, prefix, keys, number):
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
        role = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
        image = {"SAGEMAKER_BIND_TO_PORT": "0", "SM_MODEL_DIR": model, "OMP_NUM_THREADS": "1", **self.container}
        log = Path(model, f"{number}.log")
        with log.open("w") as file:
            server = subprocess.Popen(
                [SCRIPTS / "reconcile", "serve"], env=inherited | role | image | environment, stderr=file, cwd=model
            )
        try:
            port = wait_for(r"listening on \S+:(\d+),", log, server)[1]
            url = f"http://127.0.0.1:{port}"
            self._wait_until_up(url)
            limits = json.loads(self._request(f"{url}/execution-parameters"))
            self.objects[f"{job.transform_job_name}-{number}"] = [Path(key).name for key in keys]
            for key in keys:
                if job.transform_job_status != "Stopping":
                    self._object(job, url, limits, prefix, key)
        finally:
            server.terminate()
            server.wait()

    def _wait_until_up(self, url):
        for _ in range(1200):
            try:
                self._request(f"{url}/ping")
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
            else:
                return
        raise JobFailed("the container did not pass the ping health check")

    def _object(self, job, url, limits, prefix, key):
        s3, name = self.client("s3"), Path(key).name
        bucket = urlsplit(job.transform_input["DataSource"]["S3DataSource"]["S3Uri"]).netloc
        lines = s3.get_object(Bucket=bucket, Key=key)["Body"].read().splitlines(keepends=True)
        if name == self.fails_at:
            raise JobFailed(f"{name}: Bad HTTP status received from algorithm: 400")
        payload = (job.max_payload_in_mb or limits["MaxPayloadInMB"]) * 2**20
        with ThreadPoolExecutor(limits["MaxConcurrentTransforms"]) as pool:
            pieces = list(pool.map(lambda body: self._invoke(job, url, body), mini_batches(lines, payload)))
        self.sent += [json.loads(line)["key"] for line in lines]
        if name != self.loses:
            target = urlsplit(job.transform_output["S3OutputPath"])
            out = f"{target.path.strip('/')}/{key.removeprefix(prefix)}.out"
            s3.put_object(Bucket=target.netloc, Key=out, Body=b"".join(piece + b"\n" for piece in pieces))

    def _invoke(self, job, url, body):
        headers = {
            "Content-Type": job.transform_input["ContentType"],
            "Accept": job.transform_output["Accept"],
        }
        limits = job.model_client_config
        for tries_left in reversed(range(limits["InvocationsMaxRetries"] + 1)):
            try:
                return self._request(f"{url}/invocations", body, headers, limits["InvocationsTimeoutInSeconds"])
            except urllib.error.HTTPError as error:
                message = f"Bad HTTP status received from algorithm: {error.code} {error.read().decode()}"
                if error.code < 500 or not tries_left:
                    raise JobFailed(message) from None
        raise AssertionError

    def _request(self, url, body=None, headers=None, timeout=10):
        with urllib.request.urlopen(urllib.request.Request(url, body, headers or {}), timeout=timeout) as response:
            self.requests.append(urlsplit(url).path)
            return response.read()


def mini_batches(lines, payload):
    """Yield groups of lines, each as large as fits into the payload."""
    batch = b""
    for line in lines:
        if batch and len(batch) + len(line) > payload:
            yield batch
            batch = b""
        batch += line
    if batch:
        yield batch
