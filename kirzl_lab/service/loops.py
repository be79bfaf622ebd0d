"""What the lab service does by itself, again and again, until its process ends.

A loop looks at what is and does what is missing; it remembers nothing. So it may be killed at any moment, may run in
several processes at once, and waits without harm while the hub or the lab database does not answer.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from kirzl_lab import logs
from kirzl_lab.courses.erasing import due_to_erase, erase
from kirzl_lab.problems import Problem, ServerNotRunning
from kirzl_lab.service import metrics
from kirzl_lab.service.grading import grading
from kirzl_lab.service.state import ServiceState
from kirzl_lab.spawning.site import site_of
from kirzl_lab.store.blob_rows import remove_unneeded
from kirzl_lab.store.lost import Loss, Reason, losses, write_end
from kirzl_lab.store.members import staff_of_courses

LOOK_EVERY_S = 5.0
ERASE_EVERY_S = 600.0
BLOBS_EVERY_S = 3600.0
LOGINS_EVERY_S = 10.0

log = logging.getLogger(__name__)


@asynccontextmanager
async def looping(state: ServiceState, every_s: float = LOOK_EVERY_S) -> AsyncIterator[None]:
    """Run the loops while the block runs. Where there is no controller, grading is one of them."""
    async with AsyncExitStack() as stack:
        looks = [
            _again_and_again("Servers", _every(lambda: end_lost_servers(state), every_s)),
            _again_and_again("Logins to gradebooks", _every(lambda: end_gradebook_logins(state), LOGINS_EVERY_S)),
            _again_and_again("Deleted courses", _every(lambda: erase_deleted_courses(state), ERASE_EVERY_S)),
            _again_and_again("Blobs", _every(lambda: remove_blobs(state), BLOBS_EVERY_S)),
        ]
        if site_of() is None:
            looks.append(_again_and_again("Submissions to grade", await stack.enter_async_context(grading(state))))
        tasks = [asyncio.create_task(look) for look in looks]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def end_gradebook_logins(state: ServiceState) -> None:
    """End the logins, and their sessions, of people who do not run the course any more. Raises `LabDatabaseAway`."""
    async with state.reading() as session:
        staff = await staff_of_courses(session)
    failed: list[Exception] = []
    for course, hub_names in staff.items():
        try:
            ended = await asyncio.to_thread(state.gradebooks.reconcile_logins, course, hub_names)
        except Exception as error:  # of one course: others are seen to all the same
            log.warning("Logins to the gradebook of %s could not be ended: %s", course, error)
            failed.append(error)
            continue
        for login in ended:
            log.info("The login %s to the gradebook of %s has ended", login, course)
    if failed:
        raise failed[0]


async def erase_deleted_courses(state: ServiceState) -> list[str]:
    """Erase courses that were deleted and whose grace is over; returns their names. Raises `LabDatabaseAway`."""
    async with state.reading() as session:
        due = await due_to_erase(session, state.clock())
    erased: list[str] = []
    for name in due:
        # First what the rows lead to: a course without rows is not looked at again.
        try:
            await asyncio.to_thread(state.gradebooks.remove, name)
        except Exception:  # of one course: others are erased all the same
            log.exception("The gradebook of the course %s, which was deleted, could not be removed", name)
            continue
        async with state.writing() as session:
            await erase(session, name, state.clock())
        log.info("Erased the course %s, which was deleted", name)
        erased.append(name)
    return erased


async def remove_blobs(state: ServiceState) -> None:
    """Remove blobs that nothing needs. Raises `StorageAway`."""
    removed = await remove_unneeded(state.store, state.blobs, state.clock())
    if removed:
        log.info("Removed %i blobs that nothing needs", removed)


async def end_lost_servers(state: ServiceState) -> list[Loss]:
    """End what runs without a right to it, once the grace is over; returns what was ended.

    An end is in the audit before it happens. Raises `HubAway` and `LabDatabaseAway`.
    """
    logs.begin(None)  # its questions to the hub are found in the hub's log
    running = {
        (hub_name, server.name): server.pending == "spawn"
        for hub_name, servers in (await state.hub.active()).items()
        for server in servers
        if server.pending != "stop"
    }
    if not running:
        return []
    async with state.reading() as session:
        due = _due(await losses(session, {hub_name for hub_name, _ in running}), running, state)
    if not due:
        return []
    async with state.writing() as session:
        # Once more, now that nobody else writes: somebody may have come back a moment ago.
        due = _due(await losses(session, {loss.hub_name for loss in due}), running, state)
        for loss in due:
            await write_end(session, loss, state.clock())
    results = await asyncio.gather(
        *(state.hub.stop(loss.hub_name, loss.server_name) for loss in due), return_exceptions=True
    )
    ended = [loss for loss, result in zip(due, results, strict=True) if not isinstance(result, BaseException)]
    for loss in ended:
        log.info("Ended %s/%s, without a right since %s: %s", loss.hub_name, loss.server_name, loss.at, loss.reason)
    metrics.GRACE_ENDS.inc(len(ended))
    for result in results:
        # One that ended by itself in between is as it should be.
        if isinstance(result, BaseException) and not isinstance(result, ServerNotRunning):
            raise result
    return ended


def _due(found: list[Loss], running: dict[tuple[str, str], bool], state: ServiceState) -> list[Loss]:
    """What of `found` is to end now; `running` says of each server whether it is still starting."""
    now, grace = state.clock(), state.catalogue.lab.grace_minutes

    def runs(loss: Loss) -> bool:
        starting = running.get((loss.hub_name, loss.server_name))
        # A start may be the new one that was asked for, a moment before the lab knows it for a student's.
        return starting is not None and not (starting and loss.reason is Reason.DEMOTED)

    return [loss for loss in found if runs(loss) and loss.ends_at(grace) <= now]


def _every(look: Callable[[], Awaitable[Any]], every_s: float) -> Callable[[], Awaitable[float]]:
    """The look, which tells to come again after that time."""

    async def looked() -> float:
        await look()
        return every_s

    return looked


async def _again_and_again(what: str, look: Callable[[], Awaitable[float]]) -> None:
    """Look, wait as long as it says, look again; what is in the way is told when it comes and when it has gone."""
    trouble: str | None = None
    while True:
        pause = LOOK_EVERY_S
        try:
            pause = await look()
            now = None
        except Problem as problem:
            now = problem.text()
        except Exception:  # whatever it is, the next look may find it gone
            log.exception("A look failed: %s", what)
            now = trouble
        if now != trouble:
            log.warning("%s: not looked after: %s", what, now) if now else log.info("%s: looked after again", what)
        trouble = now
        await asyncio.sleep(pause)
