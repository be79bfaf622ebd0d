"""The hub's spawners: the lab's decision as their last check, and starts and ends in the audit."""

from typing import Any

from jupyterhub.utils import maybe_future

from kirzl_lab.hub import metrics
from kirzl_lab.hub.lab import the_lab
from kirzl_lab.hub.pages import Refused
from kirzl_lab.problems import LabDatabaseAway, Problem
from kirzl_lab.spawning.choice import Choice
from kirzl_lab.spawning.laptop import LaptopSpawner

THE_LAB_SERVICE = "service:lab"
"""Asks for an end on behalf of an operator, and has written down which one."""


class LabServer:
    """Mixed in before a spawner: a server of the lab, wherever it runs."""

    ended_by: str | None = None
    """Who asked for the end of this server: a hub name, the lab service, or None when it ended by itself."""

    kind: str | None = None
    """The kind of the space that this server is in; for the metrics, also after a restart of the hub."""

    audited_space: str | None = None
    """The space of a server whose start is in the audit and whose end is not, also after a restart of the hub."""

    async def decide(self: Any) -> Choice:
        """Judge what is about to start once more, with the membership of this moment; refusals are HTTP errors."""
        try:
            choice: Choice = await the_lab().decide(
                self.user.name, self.name, self.user_options, bind=True, starts=True
            )
        except Problem as problem:
            raise Refused(problem) from None
        self.kind = choice.kind
        return choice

    async def start(self: Any) -> Any:
        """Start the server; a start that worked goes to the audit."""
        self.ended_by, self.audited_space = None, None
        address = await super().start()  # type: ignore[misc]
        if self.choice is not None:
            try:
                await the_lab().started(self.choice)
            except LabDatabaseAway:
                self.log.warning("The start of %s is not in the audit: no answer from the database", self._log_name)
            self.audited_space = self.choice.space
        return address

    def get_state(self: Any) -> dict[str, Any]:
        """What JupyterHub remembers of the server, the kind of its space, and whether its start is in the audit."""
        ours = {"kind": self.kind, "audited_space": self.audited_space}
        return super().get_state() | {name: value for name, value in ours.items() if value}  # type: ignore[misc]

    def load_state(self: Any, state: dict[str, Any]) -> None:
        """Take up what JupyterHub remembered."""
        super().load_state(state)  # type: ignore[misc]
        self.kind, self.audited_space = state.get("kind"), state.get("audited_space")

    async def run_post_stop_hook(self: Any) -> None:
        """The end of a server that had started goes to the audit once, with who asked for it."""
        await maybe_future(super().run_post_stop_hook())  # type: ignore[misc]
        space, self.audited_space = self.audited_space, None
        if space is None:
            return
        metrics.ended((self.user_options or {}).get("size"), self.ended_by, self.last_end)
        if self.ended_by == THE_LAB_SERVICE:
            return
        try:
            await the_lab().stopped(self.user.name, self.name, space, by=self.ended_by or "hub")
        except LabDatabaseAway:
            self.log.warning("The end of %s is not in the audit: no answer from the database", self._log_name)


class LaptopHubSpawner(LabServer, LaptopSpawner):
    """A server of the lab as a process of this machine."""
