"""`python -P -m kirzl_lab.controller`: one of several, of which the one that holds the lease works.

It ends when it loses the lease, and is started again by the kubelet: so no two are ever at work for longer than a lease
lasts, and what both do counts once.
"""

import asyncio
import json
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

from aiohttp import ClientError
from kubernetes_asyncio import client, config
from kubernetes_asyncio.client import ApiException
from kubernetes_asyncio.leaderelection.electionconfig import Config
from kubernetes_asyncio.leaderelection.leaderelection import LeaderElection
from kubernetes_asyncio.leaderelection.leaderelectionrecord import LeaderElectionRecord
from kubernetes_asyncio.leaderelection.resourcelock.leaselock import LeaseLock

from kirzl_lab import logs
from kirzl_lab.controller.grading import grading

LOG = logging.getLogger("kirzl_lab.controller")

LEASE = "controller"
LEASE_S, RENEW_S, RETRY_S = 15, 10, 2
"""How long a lease lasts, how long its holder tries to renew it, and the pause between two tries."""
REQUEST_S = 4
"""How long one question about the lease may take."""
ALIVE = Path("/tmp/alive")  # noqa: S108 - the pod's own
"""For the kubelet's probe: touched at every look, and while this one waits for the lease, at every question for it."""


class Lease(LeaseLock):  # type: ignore[misc]  # the library has no types
    """The lease of the controllers. No answer counts as a refusal, so that a silent API server cannot stop the tries."""

    waits = True

    async def get(self, name: str, namespace: str) -> Any:
        """Whether there is a lease, with what it says or with the `ApiException`."""
        if self.waits:
            await asyncio.to_thread(ALIVE.touch)
        try:
            async with asyncio.timeout(REQUEST_S):
                return await super().get(name, namespace)
        except (TimeoutError, ClientError) as error:
            silent = ApiException(status=504, reason=f"no answer ({type(error).__name__})")
            silent.body = json.dumps({"code": silent.status})  # the election reads it
            return False, silent

    async def update(self, name: str, namespace: str, updated_record: LeaderElectionRecord) -> bool:
        """Whether the lease says now what it should."""
        try:
            async with asyncio.timeout(REQUEST_S):
                return bool(await super().update(name, namespace, updated_record))
        except (TimeoutError, ClientError):
            return False


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
        lease = Lease(LEASE, os.environ["KIRZL_LAB_NAMESPACE"], socket.gethostname(), api)
        async with asyncio.TaskGroup() as group:  # where the work breaks, the lease is let go of

            async def work() -> None:
                lease.waits = False
                with suppress(Exception):  # the group tells what broke
                    await group.create_task(_work(api))

            leading = Config(
                lease,
                lease_duration=LEASE_S,
                renew_deadline=RENEW_S,
                retry_period=RETRY_S,
                onstarted_leading=work,
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
