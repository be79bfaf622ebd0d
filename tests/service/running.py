"""The real application under uvicorn, in a process of its own on a loopback port, that can be killed and started again."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from kirzl_lab.cli.ports import free_port
from kirzl_lab.settings import Settings
from tests.service.fake_hub import OWN_TOKEN
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
PREFIX = "/services/lab"
START_LIMIT_S = 60


@dataclass
class RunningService:
    """The service, as `kirzl-lab up` starts it."""

    settings: Settings
    hub_api: str
    log: Path
    more: Mapping[str, str] = field(default_factory=dict)
    """Variables besides the lab's own."""
    around: Sequence[str] = ()
    """What starts it: words before its own."""
    port: int = field(default_factory=free_port)
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Where it answers, with its prefix."""
        return f"http://127.0.0.1:{self.port}{PREFIX}"

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        assert self._process is not None
        return self._process.pid

    @property
    def peak_mib(self) -> float:
        """Resident memory of the process that runs now, at its largest."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024

    def start(self) -> None:
        """Start it, on the same port as before; returns when it answers."""
        command = [sys.executable, "-m", "uvicorn", "kirzl_lab.service.app:app_from_environment", "--factory"]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--no-access-log"]
        told = {name: value for name, value in os.environ.items() if not name.startswith(("KIRZL_LAB_", "AWS_"))}
        told |= self.settings.environment() | dict(self.more)
        told |= {
            "JUPYTERHUB_API_URL": self.hub_api,
            "JUPYTERHUB_API_TOKEN": OWN_TOKEN,
            "JUPYTERHUB_CLIENT_ID": "service-lab",
            "JUPYTERHUB_SERVICE_PREFIX": f"{PREFIX}/",
            "KIRZL_LAB_RECEIPT_KEYS": "5a" * 32,
        }
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [*self.around, "setpriv", "--pdeathsig", "KILL", *command],
                env=told,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        wait_until(self._answers, "the service to answer", START_LIMIT_S)

    def kill(self) -> None:
        """End it from one moment to the next."""
        assert self._process is not None
        self._process.kill()
        assert self._process.wait(timeout=30) == -signal.SIGKILL

    def end(self) -> None:
        """Ask it to end, and see that it does in good order."""
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(timeout=30)
        finally:
            self._process.kill()

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the service ended:\n{self.log.read_text()[-5000:]}"
        try:
            return httpx.get(f"{self.url}/health", timeout=2).status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def running(service: RunningService) -> Iterator[RunningService]:
    """The service, started, for the time of the block."""
    try:
        service.start()
        yield service
    finally:
        service.end()


def settings_in(data: Path, database_url: str, blobs: str = "") -> Settings:
    """Settings of a lab with the sample courses."""
    return Settings(
        hub_config=ROOT / "hub_config",
        courses=ROOT / "courses",
        data=data,
        database_url=database_url,
        public_url="http://lab.test",
        blobs=blobs,
    )
