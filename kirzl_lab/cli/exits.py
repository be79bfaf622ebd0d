"""How a command ends when it does not end well: an exit code and one sentence that says what to do next."""

from collections.abc import Mapping
from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of `kirzl-lab`."""

    OK = 0
    NO = 1
    """What was asked about is not so: mistakes in the catalogue, no lab runs, something is missing, a receipt is not genuine."""
    USAGE = 2
    CANNOT = 3
    """This machine lacks something that the command needs."""
    RUNS_ALREADY = 4
    FELL_OVER = 5
    """A part of the lab did not start, or ended while it should run."""


MEANINGS = {
    Exit.OK: "done, or yes",
    Exit.NO: "no: mistakes in the catalogue, no lab runs, something is missing, a receipt is not genuine",
    Exit.USAGE: "the command was not understood",
    Exit.CANNOT: "this machine lacks something that is needed",
    Exit.RUNS_ALREADY: "another lab runs on that data folder",
    Exit.FELL_OVER: "a part of the lab did not start, or ended on its own",
}


class Stop(Exception):  # noqa: N818 - it is no error in the program: it ends a command with a sentence
    """Ends a command: `sentence` for the person, `lines` below it, `code` for the shell.

    `details` is what `--json` tells besides.
    """

    def __init__(
        self, code: Exit, sentence: str, lines: tuple[str, ...] = (), details: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.lines = lines
        self.details = details or {}


def cannot_use(error: OSError) -> Stop:
    """The sentence for a file or folder of the lab that is not as it should be."""
    what = f"{error.filename} cannot be used" if error.filename else "A file of the lab cannot be used"
    return Stop(Exit.CANNOT, f"{what} ({error.strerror or error}): mend it or move it out of the way, then try again.")
