"""`python -P -m kirzl_lab.controller`: one of several, of which the one that holds the lease works.

It ends when it loses the lease, and is started again by the kubelet: so no two are ever at work for longer than a lease
lasts, and what both do counts once.
"""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

from kubernetes_asyncio import client, config
from kubernetes_asyncio.leaderelection.electionconfig import Config
from kubernetes_asyncio.leaderelection.leaderelection import LeaderElection
from kubernetes_asyncio.leaderelection.resourcelock.leaselock import LeaseLock

from kirzl_lab import logs
from kirzl_lab.controller.grading import grading

LOG = logging.getLogger("kirzl_lab.controller")

LEASE = "controller"
LEASE_S, RENEW_S, RETRY_S = 15, 10, 2
"""How long a lease lasts, how long its holder tries to renew it, and the pause between two tries."""
ALIVE = Path("/tmp/alive")  # noqa: S108 - the pod's own
"""Touched at every look, for the kubelet's probe."""


async def main() -> None:
    """Wait for the lease, work while it is ours. Returns when it is lost or the process is asked to end."""
    logs.configure(os.environ)
    config.load_incluster_config()
    work = asyncio.create_task(_lead())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        LOG.info("Asked to end")


async def _lead() -> None:
    async with client.ApiClient() as api:
        lock = LeaseLock(LEASE, os.environ["KIRZL_LAB_NAMESPACE"], socket.gethostname(), api)
        leading = Config(
            lock,
            lease_duration=LEASE_S,
            renew_deadline=RENEW_S,
            retry_period=RETRY_S,
            onstarted_leading=lambda: _work(api),
            onstopped_leading=None,
        )
        await LeaderElection(leading).run()
        LOG.warning("The lease is lost: another one works now")


async def _work(api: client.ApiClient) -> None:
    LOG.info("This one works now")
    async with AsyncExitStack() as stack:
        looks = [await stack.enter_async_context(grading(api))]
        await asyncio.gather(*(_again_and_again(look) for look in looks))


async def _again_and_again(look: Callable[[], Awaitable[float]]) -> None:
    while True:
        try:
            pause = await look()
        except Exception:
            LOG.exception("A look failed")
            pause = 5.0
        await asyncio.to_thread(ALIVE.touch)
        await asyncio.sleep(pause)


if __name__ == "__main__":
    asyncio.run(main())
