"""Grading in a cluster: tasks become Jobs in the graders' namespace."""

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from kubernetes_asyncio import client
from sqlalchemy import make_url

from kirzl_lab.courses.gradebook import gradebooks
from kirzl_lab.grading.in_cluster import InCluster
from kirzl_lab.grading.jobs import GraderSite
from kirzl_lab.grading.outcomes import MIB, Limits
from kirzl_lab.grading.tools import Tools
from kirzl_lab.grading.work import Work
from kirzl_lab.settings import Settings
from kirzl_lab.spawning.site import ClusterSite, Graders, site_of
from kirzl_lab.store import archives
from kirzl_lab.store.blob_store import open_blobs
from kirzl_lab.store.database import Store
from kirzl_lab.store.folders import Folders

PAUSE_S = 1.0
IDLE_S = 2.0
"""Between two looks, while there is something to do and while there is not."""
TRUSTED_AT_ONCE = 2
"""Submissions that are prepared or finished at the same moment, each in a process of its own."""


@asynccontextmanager
async def grading(api: client.ApiClient) -> AsyncIterator[Callable[[], Awaitable[float]]]:
    """One look, which tells how long to wait for the next, with what it needs held open for the block."""
    settings, site = Settings.from_environment(), site_of(os.environ)
    if site is None or site.graders is None:
        raise RuntimeError(
            "the file that KIRZL_LAB_CLUSTER names must tell of graders: the controller makes their Jobs"
        )
    graders = site.graders
    store, blobs = Store(settings.database_url), open_blobs(settings)
    books = gradebooks(settings.data, make_url(settings.database_url))

    async def gradebook(course: str) -> str:
        await asyncio.to_thread(books.prepare, course)
        return books.lab_url(course)

    def clock() -> datetime:
        return datetime.now(UTC)

    folders = Folders(store, blobs, clock, archives.LIMITS)
    scratch = Path(tempfile.gettempdir(), "grading")
    await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)  # what a killed one left; the pod keeps it
    tools = Tools(store, folders.keep, folders.fetch, gradebook, scratch, clock)
    executor = InCluster(
        tools,
        grader_site(site, graders),
        batch=client.BatchV1Api(api),
        core=client.CoreV1Api(api),
        endpoint=lambda: _endpoint(graders.tasks),
        at_once=graders.at_once,
    )
    work = Work(tools, executor, TRUSTED_AT_ONCE)

    async def look() -> float:
        return PAUSE_S if await work.look() else IDLE_S

    try:
        yield look
    finally:
        await work.close()
        books.close()
        blobs.close()
        await store.close()


def grader_site(site: ClusterSite, graders: Graders) -> GraderSite:
    """Where graders run, and what each may use."""
    return GraderSite(
        namespace=graders.namespace,
        release=site.release,
        image=graders.image,
        image_pull_policy=site.image_pull_policy,
        image_pull_secrets=site.image_pull_secrets,
        limits=Limits(total_s=round(graders.minutes * 60), memory_bytes=round(graders.memory_gib * 1024) * MIB),
        cpus=graders.cpus,
    )


async def _endpoint(tasks: str) -> str:
    """The address of the task endpoint with an IP in place of the name: graders cannot ask for names."""
    url = urlsplit(tasks)
    found = await asyncio.get_running_loop().getaddrinfo(url.hostname, url.port, type=socket.SOCK_STREAM)
    address = found[0][4][0]
    host = f"[{address}]" if ":" in str(address) else address
    return f"{url.scheme}://{host}:{url.port}/api/tasks"
