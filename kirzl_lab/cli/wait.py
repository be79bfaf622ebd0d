"""Waits until the lab database is ready for this version of the lab: what hub and lab service do first in a cluster.

`python -m kirzl_lab.cli.wait`. Says what it waits for; ends with 1 where waiting would not help.
"""

import sys
import time
from collections.abc import Callable

from sqlalchemy.exc import OperationalError

from kirzl_lab.cli.exits import Exit
from kirzl_lab.problems import NewerDatabase
from kirzl_lab.settings import Settings
from kirzl_lab.store.migrate import is_current

LOOK_EVERY_S = 0.5
SAY_EVERY = 20
"""Looks between two lines of the log."""


def wait(url: str, *, pause: Callable[[float], None] = time.sleep, say: Callable[[str], None] = print) -> Exit:
    """Return when the database at `url` answers and has every step; the exit code."""
    looks = 0
    while True:
        try:
            if is_current(url):
                return Exit.OK
            waiting = "The lab database is not prepared yet: waiting for the Job `prepare`."
        except NewerDatabase as problem:
            say(str(problem))
            return Exit.NO
        except OperationalError as error:
            waiting = f"The lab database does not answer yet ({str(error.orig).strip().splitlines()[0]})."
        if looks % SAY_EVERY == 0:
            say(waiting)
        looks += 1
        pause(LOOK_EVERY_S)


if __name__ == "__main__":
    sys.exit(wait(Settings.from_environment().database_url))
