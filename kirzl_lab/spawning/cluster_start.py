"""The wait of a start for its pod: from "asked for" to a JupyterLab that answers, or the trouble that stands in its way.

Every change of the pod wakes it. What may mend itself has its time (`Trouble.patience_s`); everything else ends the
start at once.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from enum import StrEnum
from typing import ClassVar

from kirzl_lab.spawning import endings, pod, troubles
from kirzl_lab.spawning.cluster_api import ClusterApi, TroubleError
from kirzl_lab.spawning.telling import Telling
from kirzl_lab.spawning.troubles import Reason, Trouble
from kirzl_lab.spawning.watch import Pod, PodWatch

LOOK_S = (0.05, 0.5)
"""Between two looks at a JupyterLab that starts: at least, at most."""

LOOK_EACH_S = 0.005
"""What is added for every start that looks. A look costs the hub half a millisecond: the starts of a whole lecture may
take a tenth of its time, and not all of it."""


class Step(StrEnum):
    """What a start is doing, in words (English message ids)."""

    PLACE = "Finding a place for your server"
    VOLUME = "Connecting your files"
    IMAGE = "Bringing the software"
    STARTING = "Starting JupyterLab"
    ANSWERS = "JupyterLab answers"


PROGRESS: Mapping[Step, int] = {
    Step.PLACE: 10,
    Step.VOLUME: 20,
    Step.IMAGE: 30,
    Step.STARTING: 50,
    Step.ANSWERS: 90,
}


def look_s(starting: int) -> float:
    """How long one of so many starts waits before it looks again whether its JupyterLab answers."""
    least, most = LOOK_S
    return min(max(least, starting * LOOK_EACH_S), most)


class PodStart:
    """One start, from the moment at which its pod was asked for."""

    looking: ClassVar[set["PodStart"]] = set()
    """The starts whose container runs."""

    def __init__(self, name: str, pods: PodWatch, api: ClusterApi, telling: Telling) -> None:
        self._name = name
        self._pods = pods
        self._api = api
        self._telling = telling
        self._since: dict[Reason, float] = {}

    async def address(self, answers: Callable[[str], Awaitable[bool]]) -> str:
        """The address of the pod once `answers` says that it answers there. Raises `TroubleError`."""
        try:
            return await self._until(answers)
        finally:
            self.looking.discard(self)

    async def _until(self, answers: Callable[[str], Awaitable[bool]]) -> str:
        seen = False
        while True:
            changed, found = self._pods.change(self._name), self._pods.now(self._name)
            wait_s: float | None = None
            if found is not None:
                seen = True
                self._telling.tell(_step(found))
                wait_s = await self._endure(found)
                address = address_of(found)
                if address is not None:
                    self.looking.add(self)
                    if await answers(address):
                        return address
                    wait_s = look_s(len(self.looking))
            elif seen:
                raise TroubleError(self._removed())
            with suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), wait_s)

    async def _endure(self, found: Pod) -> float | None:
        """Raise for a trouble that lasts too long; else how long it may last yet, in seconds."""
        trouble = troubles.at_start(found)
        if trouble is None:
            self._since.clear()
            return None
        now = time.monotonic()
        left = self._since.setdefault(trouble.reason, now) + trouble.patience_s - now
        if left > 0:
            return left
        if trouble.reason is Reason.ROOM and troubles.waits_for_a_node(await self._api.events(self._name)):
            self._since[trouble.reason] = now
            return trouble.patience_s
        raise TroubleError(trouble)

    def _removed(self) -> Trouble:
        gone = self._pods.last_seen(self._name)
        trouble = troubles.at_end(gone, gone=True) if gone else None
        return trouble or Trouble(Reason.REMOVED, endings.REMOVED, "the pod was deleted")


def address_of(found: Pod) -> str | None:
    """Where the server in the pod is, once its container runs."""
    ip = (found.get("status") or {}).get("podIP")
    if not ip or not troubles.is_running(found):
        return None
    return f"http://[{ip}]:{pod.PORT}" if ":" in ip else f"http://{ip}:{pod.PORT}"


def _step(found: Pod) -> Step:
    if troubles.is_running(found):
        return Step.STARTING
    conditions = {each.get("type"): each.get("status") for each in (found.get("status") or {}).get("conditions") or []}
    if conditions.get("PodScheduled") != "True":
        return Step.PLACE
    # True once the volumes are mounted and the pod has its network.
    return Step.IMAGE if conditions.get("PodReadyToStartContainers") == "True" else Step.VOLUME
