"""The task endpoint: where graders fetch what they run and report what came out, each once, with a token for each."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from kirzl_lab.grading import runs
from kirzl_lab.grading.tasks import State, Task, task_reporting
from kirzl_lab.problems import UnknownTask
from kirzl_lab.service.access import task_token_of
from kirzl_lab.service.downloads import GIVES, archive
from kirzl_lab.service.receiving import receive_for_task
from kirzl_lab.service.routes import STREAMED
from kirzl_lab.service.state import state_of
from kirzl_lab.store.archives import Limits
from kirzl_lab.store.blob_rows import need

router = APIRouter(tags=["graders"])

LIMITS = Limits()
"""Of what comes back. What a submission may write while it runs is less."""


@router.get("/api/tasks/prepared", name="api_prepared", summary="Fetches a task's files", **GIVES)
async def api_prepared(request: Request) -> Response:
    """The files to run. The token is used up by this, whether they arrive or not."""
    async with state_of(request).writing() as session:
        task = await runs.take_fetch(session, task_token_of(request))
    if task is None or task.prepared_sha256 is None:
        raise UnknownTask()
    return await archive(request, task.prepared_sha256, "prepared")


@router.put("/api/tasks/result", name="api_result", status_code=204, summary="Reports what a task gave", **STREAMED)
async def api_result(request: Request) -> None:
    """The folder as it is after running. Taken once, for the attempt that is waited for."""
    state = state_of(request)
    token = task_token_of(request)
    async with state.reading() as session:
        task = await task_reporting(session, token)
    if task is None:
        raise UnknownTask()
    async with receive_for_task(request, LIMITS, task.id) as received, state.writing() as session:
        current: Task | None = await runs.take_report(session, token)
        if current is None:
            raise UnknownTask()
        sha256 = await need(session, state.blobs, received.draft, received.blob, state.clock())
        await runs.move(session, current, State.EXECUTING, State.EXECUTED, state.clock(), executed_sha256=sha256)
