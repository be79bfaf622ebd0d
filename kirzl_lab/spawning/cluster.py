"""Servers as pods of a cluster: from a `Choice` to a JupyterLab that answers.

What is promised: the pod is computed from the `Choice` at every start and looked at once more before it is made
(`pod_rules`); a start that fails or is cancelled leaves no pod behind, and says why; volumes are never deleted; and a
server that runs stays what it is through a restart of the hub, or while the API server is away.

KubeSpawner writes the manifest. Its start, stop and poll are replaced: they wait with growing pauses for what a watch
tells at once, raise what the hub counts as its own failures, and do not say why a server ended.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import Any

from jupyterhub.spawner import Spawner
from jupyterhub.utils import maybe_future
from kubespawner import KubeSpawner
from sqlalchemy.orm import object_session
from traitlets import default

from kirzl_lab.problems import Phrase, SizeFull
from kirzl_lab.spawning import endings, last_words, pod, pod_rules, server_environment, troubles, watch
from kirzl_lab.spawning.answering import answers
from kirzl_lab.spawning.choice import Choice
from kirzl_lab.spawning.cluster_api import ClusterApi, TroubleError
from kirzl_lab.spawning.cluster_capacity import capacity_of
from kirzl_lab.spawning.cluster_end import SHORT_GRACE_S, remove
from kirzl_lab.spawning.cluster_start import PROGRESS, PodStart, Step, address_of
from kirzl_lab.spawning.not_started import NotStartedError
from kirzl_lab.spawning.site import ClusterSite, site_of
from kirzl_lab.spawning.telling import Telling
from kirzl_lab.spawning.troubles import Reason, Trouble
from kirzl_lab.spawning.watch import PodWatch

TRIES = 3
"""Of making a pod whose name is still taken."""


class NoUnitError(NotStartedError):
    """The GPU was taken between the decision and the start."""

    def __init__(self, problem: SizeFull) -> None:
        super().__init__(problem.text(), reason=str(Reason.FULL), status=problem.status)
        self.problem = problem


class ClusterSpawner(KubeSpawner):
    """One server as a pod; the wiring subclass decides what may start."""

    last_end: Phrase | None = None
    """Why the last server under this name ended, where nobody stopped it."""

    choice: Choice | None = None
    """What runs, or ran last, since this spawner was made."""

    def __init__(self, **kwargs: Any) -> None:
        self._telling = Telling(PROGRESS)
        self._starting = False
        self._stopping = False
        self._pod = ""
        self._status = 0
        self._lost_start = False
        self._leaving: asyncio.Task[None] | None = None
        super().__init__(**kwargs)
        # What a site's own configuration adds to every server, to which a choice adds its own.
        self._site_tolerations = list(self._sorted_dict_values(self.tolerations))
        self._site_node_selector = dict(self.node_selector)

    @default("poll_interval")
    def _default_poll_interval(self) -> int:
        return 5  # seconds; a look at what the watch has costs nothing

    @default("events_enabled")
    def _default_events_enabled(self) -> bool:
        return False  # all events of a namespace in memory, for what the pod itself tells

    @property
    def site(self) -> ClusterSite:
        """The cluster, from the file that the environment names."""
        return _the_site()

    @property
    def _api(self) -> ClusterApi:
        return ClusterApi(self.api, self.site.namespace)

    async def decide(self) -> Choice:
        """What starts now: the last check, with the membership of this moment. Raises `HTTPError`s for refusals."""
        raise NotImplementedError

    # -- start -------------------------------------------------------------------------------------------------

    async def start(self) -> str:
        """Make the pod and wait until JupyterLab in it answers; its address.

        Raises what `decide` raises, and `NotStartedError` in plain words when it does not come up.
        """
        self.choice = choice = await self.decide()
        await self._left()
        name = pod.pod_name(choice.hub_name, choice.space, choice.purpose)
        self.last_end, self._stopping, self._starting, self._pod = None, False, True, ""
        self._telling.begin()
        try:
            async with asyncio.timeout(max(1, self.start_timeout - 2)):
                return await self._start(choice, name)
        except TroubleError as error:
            if error.trouble.reason is Reason.FULL:  # the scheduler found none after all
                raise NoUnitError(await capacity_of(self.site.namespace).full(choice)) from error
            raise self._not_started(await self._in_detail(choice, error.trouble)) from error
        except TimeoutError:
            late = await self._too_late(choice, name)
            raise self._not_started(await self._in_detail(choice, late)) from None
        except SizeFull as problem:
            raise NoUnitError(problem) from None
        except watch.AWAY as error:
            away = Trouble(Reason.CLUSTER, endings.CLUSTER_AWAY, f"the API server does not answer: {error!r}", 503)
            raise self._not_started(away) from error
        except asyncio.CancelledError:
            # JupyterHub gives a start that it cancels a second to come to its end; `stop` waits for what is left.
            self._leaving = asyncio.create_task(self._abandon())
            raise
        finally:
            if not self._told(Step.ANSWERS) and self._leaving is None:  # failed: what began must end
                await asyncio.shield(self._abandon())
            capacity_of(self.site.namespace).release(name)
            self._starting = False
            self._telling.end()

    async def _start(self, choice: Choice, name: str) -> str:
        self._telling.tell(Step.PLACE)
        pods = await watch.pods_of(self.site.namespace)
        await capacity_of(self.site.namespace).hold(choice, name)
        manifest = await self.manifest(choice)
        pods.forget(name)
        self._pod = name
        self._remember()
        await asyncio.gather(self._api.ensure_claims(pod.claims(choice, self.site)), self._free(name, pods))
        for _ in range(TRIES):
            if await self._api.create_pod(manifest):
                return await self._until_it_answers(name, pods)
            await self._make_way(name)
        raise TroubleError(Trouble(Reason.SETUP, endings.NOT_SET_UP, f"the name {name} stays taken"))

    async def manifest(self, choice: Choice) -> dict[str, Any]:
        """The pod as the API server gets it. Raises `TroubleError` when it would be one that must not be."""
        nodes = {
            "tolerations": [*self._site_tolerations, *pod.tolerations_of(choice.flavour)],
            "node_selector": self._site_node_selector | pod.node_selector_of(choice.flavour),
        }
        for name, value in (pod.traits(choice, self.site) | nodes).items():
            setattr(self, name, value)
        made = await self.get_pod_manifest()
        if self.modify_pod_hook:
            made = await maybe_future(self.modify_pod_hook(self, made))
        manifest: dict[str, Any] = self.api.api_client.sanitize_for_serialization(made)
        if broken := pod_rules.must_hold(manifest, choice, self.site):
            operator = "a hook or a setting of this site makes a pod that must not be: " + "; ".join(broken)
            raise TroubleError(Trouble(Reason.SETUP, endings.NOT_SET_UP, operator))
        return manifest

    def get_env(self) -> dict[str, str]:
        """The environment of the server: JupyterHub's own variables, and ours."""
        env: dict[str, str] = super().get_env()
        if self.choice is None:
            return env
        hub_home = (self.public_hub_url or self.hub.base_url).rstrip("/") + "/home"
        service = server_environment.service_address(self.site.service_url, self.hub.base_url)
        return env | pod.environment(self.choice, self.site, hub_home, service)

    async def _until_it_answers(self, name: str, pods: PodWatch) -> str:
        waiting = PodStart(name, pods, self._api, self._telling)
        address = await waiting.address(lambda address: self.answers(f"{address}{self._base_url}api"))
        self._telling.tell(Step.ANSWERS)
        return address

    async def answers(self, url: str) -> bool:
        """Whether JupyterLab answers there."""
        return await answers(url)

    async def _too_late(self, choice: Choice, name: str) -> Trouble:
        with suppress(*watch.AWAY):
            found = (await watch.pods_of(self.site.namespace)).now(name)
            unbound = await self._api.unbound(claim["metadata"]["name"] for claim in pod.claims(choice, self.site))
            return troubles.too_late(found, await self._api.events(name), unbound)
        return Trouble(Reason.CLUSTER, endings.CLUSTER_AWAY, "the API server does not answer", 503)

    async def _in_detail(self, choice: Choice, trouble: Trouble) -> Trouble:
        """No room at the moment, or none ever: the scheduler says the same of both."""
        if trouble.reason is Reason.ROOM and await capacity_of(self.site.namespace).is_too_large(choice):
            return replace(trouble, words=endings.TOO_LARGE)
        return trouble

    def _not_started(self, trouble: Trouble) -> NotStartedError:
        self.log.error("%s did not start (%s): %s", self._log_name, trouble.reason, trouble.operator)
        # My spaces tells it, too: not everybody stays on the page of a start.
        self.last_end = Phrase(trouble.words)
        return NotStartedError(trouble.words, reason=str(trouble.reason), status=trouble.status)

    def _told(self, step: Step) -> bool:
        return self._telling.has_told(step)

    @property
    def _base_url(self) -> str:
        return self.server.base_url if self.server else "/"

    # -- progress ----------------------------------------------------------------------------------------------

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """What the start does, as it does it; each message is one of `Step`."""
        async for message in self._telling.messages():
            yield message

    # -- end ---------------------------------------------------------------------------------------------------

    async def poll(self) -> int | None:
        """None while the server runs or starts, its exit status once it has ended (1 when it is not known)."""
        if self._starting or self._leaving is not None:
            return None
        if not self._pod:
            if self._lost_start:
                self.last_end, self._lost_start = Phrase(endings.LOST_START), False
            return self._status
        try:
            return await self._look()
        except (TroubleError, *watch.AWAY) as error:
            self.log.warning("Whether %s runs is not known, so it is left alone: %r", self._log_name, error)
            return None

    async def _look(self) -> int | None:
        pods = await watch.pods_of(self.site.namespace)
        found, gone = pods.now(self._pod), False
        if found is None:
            if await self._api.has_pod(self._pod):
                return None  # the watch is behind
            found, gone = pods.last_seen(self._pod), True
        trouble = troubles.at_end(found, gone=gone) if found else None
        if trouble is None and not gone:
            return None
        if not self._stopping:
            self.last_end = troubles.last_end(found, gone=gone)
        self.log.info("%s has ended: %s", self._log_name, trouble.operator if trouble else "its pod is gone")
        name, self._pod, self._status = self._pod, "", troubles.exit_status(found)
        if (
            found and not gone and not found["metadata"].get("deletionTimestamp")
        ):  # else it has the grace of who ends it
            await self._api.delete_pod(name, SHORT_GRACE_S)
        return self._status

    async def stop(self, now: bool = False) -> None:
        """End the server, and return when its pod is gone, or cannot go yet: then the next start waits for it.

        Its volumes stay.
        """
        self._stopping = True
        if self._proxy_pending:  # JupyterHub could not tell the proxy of it, and tells nobody
            self.last_end = Phrase(endings.NO_ROUTE)
        await self._left()
        if self._pod:
            await self._remove(self._pod, SHORT_GRACE_S if now else pod.END_GRACE_S)
            self._pod = ""

    async def _left(self) -> None:
        """Wait until nothing is left of a start that was cancelled."""
        if self._leaving is not None:
            await asyncio.shield(self._leaving)
            self._leaving = None

    async def delete_forever(self) -> None:
        """The server's name is gone for good; the files in its home are not."""

    async def _free(self, name: str, pods: PodWatch) -> None:
        """Have a pod of that name gone that an earlier start left."""
        if pods.now(name) is not None:
            self.log.warning("A pod of an earlier start is in the way: %s", name)
            await self._make_way(name)

    async def _make_way(self, name: str) -> None:
        if not await self._remove(name, SHORT_GRACE_S):
            said = f"the pod {name} of an earlier start does not go, and its node is ready"
            raise TroubleError(Trouble(Reason.NODE, endings.STILL_ENDING, said, status=409))

    async def _remove(self, name: str, grace_s: int) -> bool:
        return await remove(name, grace_s, self._api, self.site.namespace)

    async def _abandon(self) -> None:
        name, self._pod = self._pod, ""
        if not name:
            return
        try:
            await self._remove(name, SHORT_GRACE_S)
        except (TroubleError, *watch.AWAY) as error:
            self.log.error("The pod %s of a start that failed could not be deleted: %r", name, error)

    # -- state -------------------------------------------------------------------------------------------------

    def _remember(self) -> None:
        """JupyterHub keeps the state once a start is over; a hub that is killed before must find the pod again."""
        if self.orm_spawner is not None:
            self.orm_spawner.state = self.get_state()
            session = object_session(self.orm_spawner)
            if session is not None:
                session.commit()

    def get_state(self) -> dict[str, Any]:
        """What JupyterHub remembers: the name of the pod, and how the last one ended."""
        state: dict[str, Any] = Spawner.get_state(self)
        return state | ({"pod_name": self._pod} if self._pod else {}) | last_words.remember(self.last_end)

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what JupyterHub remembered."""
        Spawner.load_state(self, state)
        self._pod = state.get("pod_name", "")
        self.last_end = last_words.remembered(state)
        # JupyterHub notes a server before it starts one.
        self._lost_start = not self._pod and self.server is not None

    def clear_state(self) -> None:
        """Forget the server; how it ended is kept until the next start."""
        super().clear_state()
        self._pod, self._lost_start = "", False

    async def get_url(self) -> str:
        """Where the server is. After a restart of the hub in the midst of a start: once it answers there."""
        known: str = self.server.url
        try:
            async with asyncio.timeout(self.start_timeout):
                pods = await watch.pods_of(self.site.namespace)
                found = pods.now(self._pod)
                if found and (address := address_of(found)) and known.startswith(address):
                    return known
                return f"{await self._until_it_answers(self._pod, pods)}{self._base_url}"
        except TroubleError as error:
            self._not_started(error.trouble)
            await self._abandon()
        except watch.AWAY as error:  # TimeoutError among them
            self.log.warning("Where %s is is not known: %r", self._log_name, error)
        return known  # JupyterHub asks there in vain, and takes the server for ended


@cache
def _the_site() -> ClusterSite:
    site = site_of()
    if site is None:
        raise RuntimeError("this process is in no cluster: KIRZL_LAB_CLUSTER is not set")
    return site
