"""Runs prepared submissions as Kubernetes Jobs: looks at the tasks and at the Jobs that there are, and does what is missing."""

import logging
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from kubernetes_asyncio.client import ApiException, BatchV1Api, CoreV1Api

from kirzl_lab.grading import jobs, runs
from kirzl_lab.grading.jobs import Ended, GraderSite, Tokens
from kirzl_lab.grading.outcomes import Reason
from kirzl_lab.grading.tasks import State, Task, hash_of
from kirzl_lab.grading.tools import Tools

LOG = logging.getLogger(__name__)

REQUEST_S = 10.0
"""How long one question to the API server may take."""


class InCluster:
    """An `Executor`. It remembers nothing: what is not in the lab database or the cluster is not."""

    def __init__(
        self,
        tools: Tools,
        site: GraderSite,
        *,
        batch: BatchV1Api,
        core: CoreV1Api,
        endpoint: Callable[[], Awaitable[str]],
        at_once: int,
    ) -> None:
        """`endpoint` tells the address of the task endpoint as it is now; `at_once` is how many Jobs there may be."""
        self._tools = tools
        self._site = site
        self._batch = batch
        self._core = core
        self._endpoint = endpoint
        self._at_once = at_once

    async def look(self, tasks: Collection[Task]) -> None:
        """End Jobs that nobody wants, judge those that ended without a result, begin what is next."""
        there = {name: job for name, job in await self._jobs()}
        executing = {jobs.job_name(task): task for task in tasks if task.state is State.EXECUTING}
        for name in there.keys() - executing.keys():
            await self._delete(name)
        if executing:
            pods = await self._pods()
            for name, task in executing.items():
                if ended := _judge(there.get(name), pods.get(name)):
                    await self._end(task, ended)
        room = self._at_once - len(executing)
        for task in [task for task in tasks if task.state is State.PREPARED][: max(0, room)]:
            await self._begin(task)

    async def close(self) -> None:
        """Nothing ends: Jobs go on, and the next controller finds them."""

    async def _begin(self, task: Task) -> None:
        tokens = Tokens(fetch=secrets.token_urlsafe(32), report=secrets.token_urlsafe(32))
        endpoint = await self._endpoint()
        async with self._tools.store.writing() as session:
            moved = await runs.move(
                session,
                task,
                State.PREPARED,
                State.EXECUTING,
                self._tools.clock(),
                fetch_hash=hash_of(tokens.fetch),
                report_hash=hash_of(tokens.report),
            )
        if not moved:
            return
        # Killed here, the next look finds a task without a Job and begins another attempt.
        try:
            await self._batch.create_namespaced_job(
                self._site.namespace, jobs.job(task, self._site, tokens, endpoint), _request_timeout=REQUEST_S
            )
        except Exception:  # a quota, a webhook, a silent API server: the Job may be there all the same
            async with self._tools.store.writing() as session:
                await runs.again(session, task, self._tools.clock(), lost=False)
            raise

    async def _end(self, task: Task, ended: Ended) -> None:
        now = self._tools.clock()
        async with self._tools.store.writing() as session:
            if ended.reason is None and task.losses + 1 < jobs.MOST_LOSSES:
                LOG.warning("Task %i, attempt %i, is run again: %s", task.id, task.attempt, ended.log)
                await runs.again(session, task, now)
                return
            reason = (ended.reason or Reason.FAILED).value
            log = f"{task.log}\n{ended.log}".strip()
            await runs.move(session, task, State.EXECUTING, State.FAILED, now, reason=reason, log=log)

    async def _jobs(self) -> list[tuple[str, Mapping[str, Any]]]:
        found = await self._batch.list_namespaced_job(
            self._site.namespace, label_selector=self._selector, _preload_content=False, _request_timeout=REQUEST_S
        )
        return [(job["metadata"]["name"], job) for job in (await found.json())["items"]]

    async def _pods(self) -> dict[str, dict[str, Any]]:
        """By name of their Job."""
        found = await self._core.list_namespaced_pod(
            self._site.namespace, label_selector=self._selector, _preload_content=False, _request_timeout=REQUEST_S
        )
        return {
            pod["metadata"]["labels"].get("batch.kubernetes.io/job-name", ""): pod
            for pod in (await found.json())["items"]
        }

    async def _delete(self, name: str) -> None:
        try:
            await self._batch.delete_namespaced_job(
                name, self._site.namespace, propagation_policy="Background", _request_timeout=REQUEST_S
            )
        except ApiException as error:
            if error.status != 404:
                raise

    @property
    def _selector(self) -> str:
        return f"{jobs.COMPONENT}={jobs.GRADER_COMPONENT},app.kubernetes.io/instance={self._site.release}"


def _judge(job: Mapping[str, Any] | None, pod: dict[str, Any] | None) -> Ended | None:
    """How an attempt that is still waited for has ended; None while it may go on."""
    if job is None:
        return Ended(None, "its Job is gone")
    if pod is not None and (ended := jobs.look_at(pod)):
        return ended
    for condition in job.get("status", {}).get("conditions", ()):
        if condition["status"] != "True":
            continue
        if condition["type"] == "Failed":
            return Ended(None, str(condition.get("message", "")))
        if condition["type"] == "Complete":
            return Ended(None, "it ended without a report")
    return None
