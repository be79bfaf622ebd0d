"""My spaces: what a person may open, what runs, and starting and stopping it. It is the hub's home page."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from jupyterhub.handlers.base import BaseHandler
from jupyterhub.handlers.pages import SpawnHandler
from jupyterhub.scopes import needs_scope
from jupyterhub.utils import url_path_join
from tornado import web

from kirzl_lab.catalog.models import STAFF, Size
from kirzl_lab.federation.claims import Why
from kirzl_lab.hub.lab import Sight, the_lab
from kirzl_lab.hub.pages import LabPage
from kirzl_lab.hub.starts import CountedStart
from kirzl_lab.look import i18n
from kirzl_lab.spawning import last_words, limits
from kirzl_lab.spawning.choice import (
    PURPOSES,
    Facts,
    Purpose,
    SpaceFacts,
    is_open,
    not_open,
    parse_options,
    server_name_for,
)
from kirzl_lab.store.lost import Reason

CANCEL_LIMIT_S = 10.0
"""How long a start that is cancelled may take to give up."""

ROLE_TITLES = {
    "student": "Student",
    "assistant": "Assistant",
    "instructor": "Instructor",
    "member": "Member",
    "owner": "Owner",
}

Gettext = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class SizeChoice:
    """A size on a card."""

    name: str
    title: str
    cpus: float
    memory_gib: float
    gpu: str | None
    allowed: bool
    reason: str
    default: bool


@dataclass(frozen=True, slots=True)
class Running:
    """A server on a card."""

    name: str
    purpose: str
    size_title: str
    since: datetime | None
    state: str
    url: str
    stop_url: str


@dataclass(frozen=True, slots=True)
class Card:
    """A space on My spaces."""

    name: str
    title: str
    description: str
    kind: str
    term: str
    role: str
    role_title: str
    sizes: list[SizeChoice]
    server: Running | None
    preview: Running | None
    may_preview: bool
    opens: str | None
    last_end: str | None
    preview_last_end: str | None


@dataclass(frozen=True, slots=True)
class Farewell:
    """A space on My spaces that the person has lost, or runs no more: its server still runs, or was ended."""

    title: str
    kind: str
    reason: Reason
    """With `DEMOTED` the space has a card, and a server that runs is told of there."""
    purpose: str
    server: Running | None
    ends_at: datetime
    ending: bool
    """The end is due."""
    ended_at: datetime | None


class MySpaces(LabPage, BaseHandler):
    """The page."""

    nav_active = "home"

    @web.authenticated
    async def get(self) -> None:
        """Cards of the spaces that the person may open at this moment."""
        user = self.current_user
        for spawner in list(user.spawners.values()):
            if spawner.ready:
                await spawner.poll_and_notify()  # a server that died by itself is told as stopped
        sight = await the_lab().sight(user.name)
        gettext = i18n.translations(self.language).gettext
        html = await self.render_template(
            "home.html",
            spaces=[self._card(facts, gettext) for facts in sight.facts if facts.space is not None],
            farewells=list(self._farewells(sight)),
            looked_for=list(self._looked_for(sight, gettext)),
            # In a cluster every server is kept to its size: nothing to say.
            limits_note=limits_note(limits.describe(), gettext) if the_lab().site is None else None,
        )
        self.finish(html)

    def _card(self, facts: Facts, gettext: Gettext) -> Card:
        space = facts.space
        assert space is not None  # noqa: S101 - `get` leaves out facts without a space; this tells the type checker
        role = str(facts.role)
        work, preview = (
            self._running(server_name_for(space.name, purpose, facts.bindings), purpose) for purpose in PURPOSES
        )
        return Card(
            name=space.name,
            title=space.title.in_language(self.language),
            description=space.description.in_language(self.language) if space.description else "",
            kind=space.kind,
            term=space.term,
            role=role,
            role_title=gettext(ROLE_TITLES[role]),
            sizes=list(self._sizes(facts, space, gettext)),
            server=work,
            preview=preview,
            may_preview=facts.role in STAFF,
            opens=self._opens(facts, space, gettext),
            last_end=self._last_end(facts, "work", gettext),
            preview_last_end=self._last_end(facts, "preview", gettext) if facts.role in STAFF else None,
        )

    def _sizes(self, facts: Facts, space: SpaceFacts, gettext: Gettext) -> Iterator[SizeChoice]:
        offered = [name for name in space.sizes if name in facts.sizes]
        possible = [name for name in offered if name not in facts.unavailable]
        default = space.default_size if space.default_size in possible else next(iter(possible), None)
        for name in offered:
            size: Size = facts.sizes[name]
            missing = facts.unavailable.get(name)
            yield SizeChoice(
                name=name,
                title=size.title.in_language(self.language),
                cpus=size.cpus,
                memory_gib=size.memory_gib,
                gpu=self._gpu(size, gettext),
                allowed=missing is None,
                reason=missing.text(gettext) if missing else "",
                default=name == default,
            )

    def _gpu(self, size: Size, gettext: Gettext) -> str | None:
        if size.gpu is None:
            return None
        flavour = the_lab().catalogue.flavours[size.gpu]
        words = {"whole": "one whole GPU with %(memory)g GiB", "mig": "a slice of a GPU with %(memory)g GiB"}
        return gettext(words.get(flavour.share, "a share of a GPU with %(memory)g GiB")) % {
            "memory": flavour.memory_gib
        }

    def _farewells(self, sight: Sight) -> Iterator[Farewell]:
        for lost in sight.lost:
            server = self._running(lost.loss.server_name, lost.loss.purpose)
            if server is not None or lost.ended_at is not None:
                yield Farewell(
                    title=lost.loss.title.in_language(self.language),
                    kind=lost.loss.kind,
                    reason=lost.loss.reason,
                    purpose=lost.loss.purpose,
                    server=server,
                    ends_at=lost.ends_at,
                    ending=lost.ends_at <= the_lab().clock(),
                    ended_at=lost.ended_at,
                )

    def _running(self, name: str, purpose: str) -> Running | None:
        user = self.current_user
        spawner = user.spawners.get(name) if name in user.orm_spawners else None
        if spawner is None or not spawner.active:
            return None
        size = the_lab().catalogue.sizes.get((spawner.user_options or {}).get("size", ""))
        state = "ready" if spawner.ready else ("stopping" if spawner.pending == "stop" else "starting")
        return Running(
            name=name,
            purpose=purpose,
            size_title=size.title.in_language(self.language) if size else "",
            since=spawner.orm_spawner.started,
            state=state,
            url=user.server_url(name) if state == "ready" else self._pending_url(name),
            stop_url=url_path_join(self.hub.base_url, "stop"),
        )

    def _pending_url(self, server_name: str) -> str:
        return url_path_join(self.hub.base_url, "spawn-pending", self.current_user.escaped_name, server_name)

    def _opens(self, facts: Facts, space: SpaceFacts, gettext: Gettext) -> str | None:
        if facts.role in STAFF or is_open(space, facts.today):
            return None
        return not_open(space).text(gettext, self.language)

    def _last_end(self, facts: Facts, purpose: Purpose, gettext: Gettext) -> str | None:
        """Why the last server did not start, or ended by itself; JupyterHub keeps it with the state of its spawner."""
        name = server_name_for(facts.space.name, purpose, facts.bindings) if facts.space else ""
        spawner = self.current_user.orm_spawners.get(name)
        reason = last_words.remembered(spawner.state) if spawner is not None else None
        return reason.text(gettext) if reason else None

    def _looked_for(self, sight: Sight, gettext: Gettext) -> Iterator[tuple[str, str, list[str], str]]:
        for name, claims in sight.asserted.items():
            institution = the_lab().catalogue.institutions.get(name)
            title = institution.title.in_language(self.language) if institution else name
            for claim in institution.claims if institution else ():
                yield (
                    title,
                    claim,
                    list(claims.get(claim, ())),
                    not_counted(sight.dropped[name].get(claim, ()), gettext),
                )


class Start(CountedStart, LabPage, SpawnHandler):
    """Start a space from its card."""

    @web.authenticated
    def get(self) -> None:
        """Nothing starts by following a link."""
        self.redirect(url_path_join(self.hub.base_url, "home"))

    @web.authenticated
    async def post(self) -> None:
        """Judge the form's space, purpose and size as the REST API does, start, and show the progress."""
        options = {key: self.get_body_argument(key) for key in self.request.body_arguments if key != "_xsrf"}
        request = parse_options(options)
        user = self.current_user
        sight = await the_lab().sight(user.name)
        names = sight.facts[0].bindings if sight.facts else ()
        await self._start(user.name, server_name_for(request.space, request.purpose, names), options)

    @needs_scope("start:servers")
    async def _start(self, user_name: str, server_name: str, options: dict[str, str]) -> None:
        choice = await the_lab().decide(user_name, server_name, options, bind=True)
        user = self.current_user
        title = choice.title.in_language(self.language)
        spawner = user.get_or_create_spawner(server_name, title, replace_failed=True)
        if spawner.active:
            self.redirect(self._get_pending_url(user, server_name), status=303)
            return
        pending_url = self._get_pending_url(user, server_name)
        await self._wrap_spawn_single_user(user, server_name, title, spawner, pending_url, options)


class Stop(LabPage, BaseHandler):
    """Stop a server, or cancel its start."""

    @web.authenticated
    async def post(self) -> None:
        """Stop the server that the form names and go back to My spaces."""
        await self._stop(self.current_user.name, self.get_body_argument("server"))
        self.redirect(url_path_join(self.hub.base_url, "home"), status=303)

    @needs_scope("delete:servers")
    async def _stop(self, user_name: str, server_name: str) -> None:
        user = self.current_user
        spawner = user.spawners.get(server_name) if server_name in user.orm_spawners else None
        if spawner is None:
            raise web.HTTPError(404)
        if spawner.pending == "spawn" and spawner._spawn_future is not None:
            # JupyterHub's own way to interrupt a start (DELETE of a pending server); its clean-up stops what began.
            spawner._spawn_future.cancel()
            await asyncio.wait([spawner._spawn_future], timeout=CANCEL_LIMIT_S)
        if not spawner.pending and spawner.ready:
            spawner.ended_by = user_name
            await self.stop_single_user(user, server_name)


def not_counted(reasons: Sequence[str], gettext: Gettext) -> str:
    """Why nothing that the institution sent under a claim counts; `reasons` are those of `federation.claims.Why`."""
    if not reasons:
        return gettext("not sent by the institution")
    if Why.NOT_VERIFIED in reasons:
        return gettext("sent, but not confirmed by the institution: it does not count")
    if Why.OTHER_DOMAIN in reasons:
        return gettext("sent, but of a domain that is not the institution's: it does not count")
    return gettext("sent, but not in a form that counts")


def limits_note(kind: str, gettext: Gettext) -> str:
    """One sentence on how this machine keeps servers to their size; `kind` is what `limits.describe` says."""
    sentences = {
        "systemd": "This machine keeps each server to its cores and memory (systemd).",
        "cgroup2": "This machine keeps each server to its cores and memory (cgroups).",
        "cgroup1": "This machine keeps each server to its cores and memory (cgroups).",
    }
    return gettext(sentences.get(kind, "This machine cannot limit cores and memory: sizes are a promise, not a wall."))
