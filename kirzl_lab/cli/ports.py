"""Which ports a lab uses: the same ones each time, and others where somebody else got there first."""

import errno
import json
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from kirzl_lab.cli.exits import Exit, Stop
from kirzl_lab.cli.state import write_atomically

PUBLIC_PORT = 8000
WALK = 100
"""How many ports above the wanted one are tried."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one lab, all on 127.0.0.1."""

    public: int
    proxy_api: int
    hub: int
    service: int
    demo: int


def is_free(port: int) -> bool:
    """Whether nobody listens on that port, neither on 127.0.0.1 nor on ::1 (which browsers try for localhost)."""
    return _can_bind(socket.AF_INET, "127.0.0.1", port) and _can_bind(socket.AF_INET6, "::1", port)


def _can_bind(family: socket.AddressFamily, address: str, port: int) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As servers do it: a connection that is still in TIME_WAIT does not make the port busy.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except OSError as error:
        # No IPv6 here is no obstacle; a busy port or one that only root may use is.
        return error.errno not in (errno.EADDRINUSE, errno.EACCES, errno.EPERM)
    return True


def choose(file: Path, wanted: int | None, free: Callable[[int], bool] = is_free) -> Ports:
    """The ports for a start, remembered in `file` for the next one.

    `wanted` is the public port that was asked for; without it the one that was asked for last. A busy public port is
    walked around upwards, for this start only. Raises `Stop` when no port can be had.
    """
    remembered = _read(file)
    taken: set[int] = set()

    def take(name: str, start: int | None) -> int:
        first = remembered.get(name) if start is None else start
        port = _walk(first, taken, free)
        taken.add(port)
        return port

    asked = asked_port(file, wanted)
    public = take("public", asked)
    ports = Ports(public, *(take(field.name, None) for field in fields(Ports)[1:]))
    write_atomically(file, json.dumps({**asdict(ports), "public": asked}))
    return ports


def asked_port(file: Path, wanted: int | None) -> int:
    """The public port that people expect: the `wanted` one, the one asked for at an earlier start, or 8000."""
    return wanted or _read(file).get("public", PUBLIC_PORT)


def _walk(first: int | None, taken: set[int], free: Callable[[int], bool]) -> int:
    if first is None:
        first = free_port()
    for port in range(first, min(first + WALK, 65536)):
        if port not in taken and free(port):
            return port
    last = min(first + WALK, 65536) - 1
    raise Stop(Exit.CANNOT, f"No port from {first} to {last} is free: ask for another one with --port.")


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _read(file: Path) -> dict[str, int]:
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: port for name, port in found.items() if type(port) is int and 0 < port < 65536}
