"""Commands in containers of the cluster, with streams in both directions. Nothing is held whole in memory.

The client's own reading collects all that a command prints and adds it up piece by piece; a database dump of gigabytes
is too much for that. So frames are read here one by one, by the protocol `v5.channel.k8s.io`: the first byte of a frame
names the stream, 255 closes one.
"""

import json
import select
import ssl
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from websocket import ABNF, WebSocketException

from kirzl_lab.cli.cluster.connection import Cluster, RefusedError

STDIN, STDOUT, STDERR, ERROR = 0, 1, 2, 3
CHUNK = 1 << 16
SILENCE_S = 600
"""How long a command may say nothing before the connection counts as dead."""
ERRORS_KEPT = 4000
"""Characters of what a command complained about."""

Sink = Callable[[bytes], object]


class CommandFailedError(Exception):
    """A command in a container ended with another status than 0, or its connection broke; the message says why."""


def execute(
    cluster: Cluster,
    pod: str,
    container: str,
    command: Sequence[str],
    *,
    given: Iterable[bytes] | None = None,
    to: Sink | None = None,
) -> bytes:
    """Run a command; `given` is its standard input. What it prints goes to `to`, or is returned where there is none.

    Raises `CommandFailedError`.
    """
    printed = bytearray()
    try:
        connection = cluster.open_exec(pod, container, command, stdin=given is not None)
    except RefusedError as error:
        raise CommandFailedError(f"{pod}: {error.message}") from None
    try:
        talk = _Talk(connection, to or printed.extend)
        for chunk in _pieces(given or ()):
            talk.hear(0)
            if talk.ended:
                break
            connection.write_stdin(chunk)
        if given is not None:
            connection.close_channel(STDIN)
        while not talk.ended:
            talk.hear(SILENCE_S)
    except (WebSocketException, OSError) as error:
        raise CommandFailedError(f"{pod}: the connection broke ({error})") from None
    finally:
        with suppress(WebSocketException, OSError):
            connection.close()
    talk.raise_for_status(f"{pod}: {command[0]}")
    return bytes(printed)


class _Talk:
    """What comes from a command, until it has ended."""

    def __init__(self, connection: Any, to: Sink) -> None:
        self._socket = connection.sock
        self._to = to
        self._errors = bytearray()
        self._status = bytearray()
        self.ended = False

    def hear(self, patience_s: float) -> None:
        """Take what is there, waiting so long for the first of it. Raises `TimeoutError`."""
        while not self.ended and self._is_there(patience_s):
            opcode, frame = self._socket.recv_data_frame(True)
            if opcode == ABNF.OPCODE_CLOSE:
                self.ended = True
            elif opcode in (ABNF.OPCODE_BINARY, ABNF.OPCODE_TEXT) and len(frame.data) > 1:
                self._take(frame.data[0], frame.data[1:])
            if patience_s:
                return

    def raise_for_status(self, what: str) -> None:
        """Raise `CommandFailedError` unless the command ended well."""
        try:
            status = json.loads(bytes(self._status))
        except ValueError:
            raise CommandFailedError(f"{what}: the connection ended before the command") from None
        if status.get("status") != "Success":
            said = self._errors.decode(errors="replace").strip() or status.get("message", "it failed")
            raise CommandFailedError(f"{what}: {said}")

    def _is_there(self, patience_s: float) -> bool:
        inner = self._socket.sock
        if isinstance(inner, ssl.SSLSocket) and inner.pending():
            return True
        poll = select.poll()
        poll.register(inner, select.POLLIN)
        if poll.poll(patience_s * 1000):
            return True
        if patience_s:
            raise TimeoutError(f"nothing for {patience_s:g} s")
        return False

    def _take(self, channel: int, data: bytes) -> None:
        if channel == STDOUT:
            self._to(data)
        elif channel == STDERR:
            self._errors += data
            del self._errors[:-ERRORS_KEPT]
        elif channel == ERROR:
            self._status += data


def _pieces(given: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in given:
        for begin in range(0, len(chunk), CHUNK):
            yield chunk[begin : begin + CHUNK]
