"""A loopback port of the machine that leads into the cluster's network: `forwarder.py PORT HOST:PORT`.

The listening socket is made outside, then the process moves into the namespace, where every connection it opens
starts. A name of a Service is asked from the cluster's DNS for each connection, so a Service may be made anew.
"""

import asyncio
import contextlib
import ctypes
import os
import secrets
import socket
import struct
import sys
from ipaddress import IPv4Address, ip_address

from tools.onenode.network import DNS_SERVICE
from tools.onenode.paths import NAMESPACE_FILE

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_CHUNK = 64 << 10


async def resolve(name: str) -> str:
    """The address of a Service from the cluster's DNS; raises `OSError` when it has none.

    One question of RFC 1035, section 4: the header, the name in labels, type A, class IN.
    """
    with contextlib.suppress(ValueError):
        return str(ip_address(name))
    asked = secrets.randbits(16)
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    question = struct.pack(">6H", asked, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        channel.setblocking(False)
        await loop.sock_connect(channel, (DNS_SERVICE, 53))
        await loop.sock_sendall(channel, question)
        async with asyncio.timeout(3):
            answer = await loop.sock_recv(channel, 4096)
    return address_in(answer, asked, len(question), name)


def address_in(answer: bytes, asked: int, start: int, name: str) -> str:
    """The first IPv4 address in a DNS answer whose records begin at byte `start`; raises `OSError` without one."""
    if len(answer) < start or struct.unpack_from(">H", answer)[0] != asked:
        raise OSError(f"The answer to {name} is none.")
    count = struct.unpack_from(">H", answer, 6)[0]
    for _ in range(count):
        while answer[start] not in (0,) and answer[start] < 0xC0:
            start += 1 + answer[start]
        start += 2 if answer[start] >= 0xC0 else 1  # a name ends in a pointer or in the root
        kind, _, _, length = struct.unpack_from(">HHIH", answer, start)
        start += 10
        if kind == 1 and length == 4:
            return str(IPv4Address(answer[start : start + 4]))
        start += length
    raise OSError(f"The cluster's DNS knows no {name}.")


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copies until the end and passes the end on; the other direction may go on."""
    try:
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.transport.abort()


async def _serve(listener: socket.socket, host: str, port: int) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(10):
                inner_reader, inner_writer = await asyncio.open_connection(await resolve(host), port)
        except (OSError, TimeoutError) as problem:
            print(f"{host}:{port}: {problem}", file=sys.stderr, flush=True)
            writer.transport.abort()
            return
        await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))
        for end in (writer, inner_writer):
            end.close()
            with contextlib.suppress(OSError):
                await end.wait_closed()

    server = await asyncio.start_server(connected, sock=listener)
    await server.serve_forever()


def _enter() -> None:
    with NAMESPACE_FILE.open() as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def main(port: int, target: str) -> None:
    """Serves 127.0.0.1:`port` until it is ended."""
    host, _, inner = target.rpartition(":")
    listener = socket.create_server(("127.0.0.1", port), backlog=512)
    _enter()
    asyncio.run(_serve(listener, host, int(inner)))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
