"""Somebody who works all the time: asks their server again and again and remembers when it did not answer."""

import secrets
import threading
import time
from types import TracebackType

import httpx

from tests.support.jupyter import JupyterServer
from tests.support.localhost import Loopback

PAUSE_S = 0.05
PATIENCE_S = 5.0
"""An answer that takes longer is none."""
SHOWN = 3


class Watch:
    """`with Watch(server) as watch: ...`; afterwards `asked`, `failed` and `longest_s` say how it went.

    It has the cookies that the person had at its beginning, and no way to log in again: who is logged out fails.
    """

    def __init__(self, server: JupyterServer) -> None:
        client = httpx.Client(cookies=server.http.cookies, transport=Loopback(), timeout=PATIENCE_S)
        # A server remembers for 300 s what the hub said of a cookie, by this one's value, and asks again then: begun
        # anew here, it does not ask while the hub is away.
        client.cookies.set("jupyterhub-session-id", secrets.token_hex(8), domain=server.url.host)
        self._server = JupyterServer(client, str(server.url))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.asked = 0
        self.failures: list[str] = []
        """What came in place of each good answer."""
        self.longest_s = 0.0
        """The longest time between two good answers, where there was a bad one between them."""

    def __enter__(self) -> "Watch":
        assert (failure := self._failure()) is None, f"{self._server.url} does not answer to begin with: {failure}"
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._server.http.close()

    def __str__(self) -> str:
        said = f": {'; '.join(self.failures[:SHOWN])}" if self.failures else ""
        return f"{self.failed} of {self.asked} requests failed, longest gap {self.longest_s:.1f} s{said}"

    @property
    def failed(self) -> int:
        """How many requests got no good answer."""
        return len(self.failures)

    def _failure(self) -> str | None:
        """What was wrong with an answer asked for now, None for a good one."""
        try:
            # Not /api/status: it answers 500 in the moment in which a kernel starts (Jupyter Server 2: the kernel is
            # in its list before it has a state).
            answer = self._server.get("/api/contents?content=0")
        except httpx.TransportError as error:
            return repr(error)
        return None if answer.status_code == 200 else f"{answer.status_code} {answer.url.path} {answer.text[:200]!r}"

    def _ask(self) -> None:
        last_good, missed = time.monotonic(), False
        while not self._over.wait(PAUSE_S):
            self.asked += 1
            failure = self._failure()
            if failure is None:
                now = time.monotonic()
                self.longest_s = max(self.longest_s, now - last_good if missed else 0.0)
                last_good, missed = now, False
            else:
                self.failures.append(f"at {time.strftime('%H:%M:%S')}: {failure}")
                missed = True
        if missed:
            self.longest_s = max(self.longest_s, time.monotonic() - last_good)
