"""A real S3 server on loopback, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import boto3

STARTS_WITHIN_S = 60
BUCKET = "bucket"
SERVE = """
import sys
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
server = make_server(sys.argv[1], int(sys.argv[2]), DomainDispatcherApplication(create_backend_app), threaded=True)
print(server.port, flush=True)
server.serve_forever()
"""


class S3:
    """Serves the bucket `bucket`; what it holds is in its memory."""

    def __init__(self, folder: Path) -> None:
        self.log = (folder / "s3.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, "127.0.0.1", "0"], stdout=subprocess.PIPE, stderr=self.log
        )
        assert self.process.stdout is not None
        self.endpoint = f"http://127.0.0.1:{int(self.process.stdout.readline())}"
        self._wait()
        self.client().create_bucket(Bucket=BUCKET)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to reach it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "a-key",
            "AWS_SECRET_ACCESS_KEY": "a-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def client(self):
        keys = {"aws_access_key_id": "a-key", "aws_secret_access_key": "a-secret", "region_name": "us-east-1"}
        return boto3.client("s3", endpoint_url=self.endpoint, **keys)

    def keys(self, prefix: str = "") -> list[str]:
        """All keys below a prefix, as the server lists them to another client than ours."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [one["Key"] for page in pages for one in page.get("Contents", ())]

    def put(self, key: str, content: bytes) -> None:
        self.client().put_object(Bucket=BUCKET, Key=key, Body=content)

    def get(self, key: str) -> bytes:
        return self.client().get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()

    def _wait(self) -> None:
        end = time.monotonic() + STARTS_WITHIN_S
        while True:
            try:
                with urllib.request.urlopen(f"{self.endpoint}/moto-api/", timeout=2):
                    return
            except OSError:
                assert self.process.poll() is None, "the S3 server ended"
                assert time.monotonic() < end, "the S3 server did not start"
                time.sleep(0.05)
