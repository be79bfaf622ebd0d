"""The hub's spawner: the laptop's, with the lab's decision as its last check, and starts and ends in the audit."""

from typing import Any

from jupyterhub.utils import maybe_future

from kirzl_lab.hub.lab import the_lab
from kirzl_lab.hub.pages import Refused
from kirzl_lab.problems import LabDatabaseAway, Problem
from kirzl_lab.spawning.choice import Choice
from kirzl_lab.spawning.laptop import LaptopSpawner

THE_LAB_SERVICE = "service:lab"
"""Asks for an end on behalf of an operator, and has written down which one."""


class HubSpawner(LaptopSpawner):
    """A server of the lab on this machine."""

    ended_by: str | None = None
    """Who asked for the end of this server: a hub name, the lab service, or None when it ended by itself."""

    kind: str | None = None
    """The kind of the space that this server is in; for the metrics, also after a restart of the hub."""

    _audited = False

    async def decide(self) -> Choice:
        """Judge what is about to start once more, with the membership of this moment; refusals are HTTP errors."""
        try:
            return await the_lab().decide(self.user.name, self.name, self.user_options, bind=True)
        except Problem as problem:
            raise Refused(problem) from None

    async def start(self) -> tuple[str, int]:
        """Start the server; a start that worked goes to the audit."""
        self.ended_by, self._audited = None, False
        address = await super().start()
        if self.choice is not None:
            self.kind = self.choice.kind
            try:
                await the_lab().started(self.choice)
            except LabDatabaseAway:
                self.log.warning("The start of %s is not in the audit: no answer from the database", self._log_name)
            self._audited = True
        return address

    def get_state(self) -> dict[str, Any]:
        """What JupyterHub remembers of the server, and the kind of its space."""
        return super().get_state() | ({"kind": self.kind} if self.kind else {})

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what JupyterHub remembered."""
        super().load_state(state)
        self.kind = state.get("kind")

    async def run_post_stop_hook(self) -> None:
        """The end of a server that had started goes to the audit once, with who asked for it."""
        await maybe_future(super().run_post_stop_hook())
        if not self._audited or self.choice is None:
            return
        self._audited = False
        if self.ended_by == THE_LAB_SERVICE:
            return
        try:
            await the_lab().stopped(self.user.name, self.name, self.choice.space, by=self.ended_by or "hub")
        except LabDatabaseAway:
            self.log.warning("The end of %s is not in the audit: no answer from the database", self._log_name)
