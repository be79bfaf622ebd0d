"""A real S3 server on loopback: versitygw over a folder, as `make tools` builds it. For tests marked `cluster`."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import httpx
import pytest

from kirzl_lab.cli.ports import free_port
from tests.support.waiting import wait_until
from tools.onenode.build import binary

START_LIMIT_S = 30


@dataclass
class S3:
    """A running S3 server and who may do everything there. Its process may be stopped and continued, or killed."""

    endpoint: str
    key: str
    secret: str
    region: str
    folder: Path
    """Each folder in it is a bucket, each file in those an object."""
    process: "subprocess.Popen[bytes]"
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def bucket(self) -> str:
        """The name of a new bucket."""
        name = f"bucket-{next(self._numbers)}"
        (self.folder / name).mkdir()
        return name

    def options(self, bucket: str) -> dict[str, str]:
        """What `obstore.store.S3Store` is told of a bucket here, besides that it may use HTTP."""
        return {
            "bucket": bucket,
            "endpoint": self.endpoint,
            "access_key_id": self.key,
            "secret_access_key": self.secret,
            "region": self.region,
        }

    @property
    def environment(self) -> dict[str, str]:
        """The variables in which programs for S3, the lab among them, find it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
        }


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """One S3 server for the whole test run; buckets are made anew."""
    with running_s3() as running:
        yield running


@contextmanager
def running_s3() -> Iterator[S3]:
    """An S3 server for the time of the block."""
    program = binary("versitygw")
    assert program.exists(), "versitygw is missing: `make tools` builds it"
    with tempfile.TemporaryDirectory(prefix="lab-s3-") as place:
        buckets, beside, log = (Path(place) / name for name in ("buckets", "beside", "log"))
        buckets.mkdir()
        beside.mkdir()
        port = free_port()
        # Not every file system has the extended attributes that it would keep its notes in.
        words = [program, "--port", f"127.0.0.1:{port}", "--quiet", "posix", "--sidecar", beside, buckets]
        environment = {"PATH": os.environ["PATH"], "ROOT_ACCESS_KEY_ID": "lab", "ROOT_SECRET_ACCESS_KEY": "s3-secret"}
        with log.open("w") as output:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *words], env=environment, cwd=place, stdout=output, stderr=output
            )
        running = S3(f"http://127.0.0.1:{port}", "lab", "s3-secret", "us-east-1", buckets, process)
        try:
            wait_until(lambda: _answers(running, log), "the S3 server to answer", START_LIMIT_S)
            yield running
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait(timeout=20)


def _answers(running: S3, log: Path) -> bool:
    assert running.process.poll() is None, f"the S3 server ended:\n{log.read_text()}"
    try:
        return httpx.get(running.endpoint, timeout=1).status_code == httpx.codes.FORBIDDEN  # nobody signed it
    except httpx.TransportError:
        return False
