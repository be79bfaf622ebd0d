"""What carries a task's files: it waits for a lab that starts anew, and tells whose fault it is that nothing was sent."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kirzl_lab.grading import carrier
from kirzl_lab.grading.outcomes import EXIT_STATUS, Reason
from kirzl_lab.store import archives


class Lab(ThreadingHTTPServer):
    """A task endpoint on loopback that answers as it was told, one status after the other."""

    allow_reuse_address = True

    def __init__(self, port: int, statuses: list[int], prepared: bytes = b"") -> None:
        self.statuses, self.prepared = statuses, prepared
        self.taken: list[bytes] = []
        super().__init__(("127.0.0.1", port), Answers)


class Answers(BaseHTTPRequestHandler):
    server: Lab

    def do_GET(self) -> None:
        self._answer(self.server.prepared)

    def do_PUT(self) -> None:
        self.server.taken.append(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(b"")

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def _answer(self, body: bytes) -> None:
        self.send_response(self.server.statuses.pop(0))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def answering(lab: Lab) -> Iterator[str]:
    thread = threading.Thread(target=lab.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{lab.server_port}"
    finally:
        lab.shutdown()
        thread.join()
        lab.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "executed"
    folder.mkdir()
    (folder / "p.ipynb").write_text("{}", "utf-8")
    return folder


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, none of which takes time."""
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    return pauses


def status_of(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["carrier", *map(str, words)])
    monkeypatch.setenv(carrier.TOKEN, "token")
    return carrier.main()


def test_files_are_fetched_once_the_lab_is_there(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archives.pack(folder, tmp_path / "packed")
    lab = Lab(0, [])
    port = lab.server_port
    lab.server_close()
    started: list[Lab] = []

    def start(_: float) -> None:
        started.append(Lab(port, [200], (tmp_path / "packed").read_bytes()))
        threading.Thread(target=started[0].serve_forever).start()

    monkeypatch.setattr("time.sleep", start)
    assert status_of(monkeypatch, "fetch", f"http://127.0.0.1:{port}", tmp_path / "prepared") == 0
    started[0].shutdown()
    started[0].server_close()
    assert (tmp_path / "prepared" / "p.ipynb").read_text("utf-8") == "{}"


def test_a_token_that_was_taken_is_not_sent_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    with answering(Lab(0, [503])) as address:
        assert status_of(monkeypatch, "fetch", address, tmp_path / "prepared") == 1
    assert pauses == []


def test_a_report_waits_for_the_lab(folder: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> None:
    lab = Lab(0, [503, 502, 204])
    with answering(lab) as address:
        assert status_of(monkeypatch, "report", address, folder) == 0
    assert len(pauses) == 2
    assert len(set(lab.taken)) == 1


@pytest.mark.parametrize(("answer", "reason"), [(404, 1), (413, EXIT_STATUS[Reason.OUTPUT]), (422, 83)])
def test_a_refusal_is_final(
    folder: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float], answer: int, reason: int
) -> None:
    with answering(Lab(0, [answer])) as address:
        assert status_of(monkeypatch, "report", address, folder) == reason
    assert pauses == []


def test_files_that_cannot_be_sent_are_the_submissions_fault(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a\nb").touch()
    assert status_of(monkeypatch, "report", "http://127.0.0.1:9", folder) == EXIT_STATUS[Reason.OUTPUT]
    assert "report: " in capsys.readouterr().err
