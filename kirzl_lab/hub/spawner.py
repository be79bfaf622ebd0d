"""The hub's spawner: the laptop's, with the lab's decision as its last check."""

from kirzl_lab.hub.lab import the_lab
from kirzl_lab.hub.pages import Refused
from kirzl_lab.problems import Problem
from kirzl_lab.spawning.choice import Choice
from kirzl_lab.spawning.laptop import LaptopSpawner


class HubSpawner(LaptopSpawner):
    """A server of the lab on this machine."""

    async def decide(self) -> Choice:
        """Judge what is about to start once more, with the membership of this moment; refusals are HTTP errors."""
        try:
            choice = await the_lab().decide(self.user.name, self.name, self.user_options, bind=True)
            await the_lab().started(choice)
        except Problem as problem:
            raise Refused(problem) from None
        return choice
