"""The hub's spawner: the laptop's, with the lab's decision as its last check and its ends in the audit."""

from typing import Any

from kirzl_lab.hub.lab import the_lab
from kirzl_lab.hub.pages import Refused
from kirzl_lab.problems import LabDatabaseAway, Problem
from kirzl_lab.spawning.choice import Choice
from kirzl_lab.spawning.laptop import LaptopSpawner


class HubSpawner(LaptopSpawner):
    """A server of the lab on this machine."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.flavours = the_lab().catalogue.flavours

    async def decide(self) -> Choice:
        """Judge what is about to start once more, with the membership of this moment; refusals are HTTP errors."""
        try:
            choice = await the_lab().decide(self.user.name, self.name, self.user_options, bind=True)
            await the_lab().started(choice)
        except Problem as problem:
            raise Refused(problem) from None
        return choice

    async def run_post_stop_hook(self) -> None:
        """Remember the end of a server that had started, however it ended."""
        super().run_post_stop_hook()
        if self.choice is not None:
            try:
                await the_lab().stopped(self.user.name, self.name, self.choice.space)
            except LabDatabaseAway:
                self.log.warning("The end of %s is not in the audit: the lab database does not answer", self._log_name)
