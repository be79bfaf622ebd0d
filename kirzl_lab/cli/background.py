"""A lab in the background: `kirzl-lab up --detach` starts this and listens until the lab runs.

What happens is told in lines of JSON on standard output, for as long as somebody listens there. Lean on purpose: this
process lives as long as the lab.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kirzl_lab.cli.exits import Exit, Stop, cannot_use
from kirzl_lab.cli.lab import Options
from kirzl_lab.cli.state import Folder

COMMAND = (sys.executable, "-P", "-m", "kirzl_lab.cli.background")


def start_in_background(options: Options, listen: Callable[[dict[str, Any]], None]) -> None:
    """Start a lab in a session of its own; returns when it runs. Raises `Stop` when it does not come to that."""
    options.folder.create()
    log = options.folder.logs / "supervisor.log"
    with log.open("ab") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own module
            [*COMMAND, json.dumps(asdict(options), default=str)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    assert process.stdout is not None  # noqa: S101 - it is a pipe, for the type checker
    with process.stdout:
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "stopped":
                raise Stop(Exit(event["code"]), event["sentence"], tuple(event["lines"]))
            listen(event)
            if event["event"] == "running":
                process.returncode = 0  # it lives on; nobody waits for it here
                return
    raise Stop(Exit.FELL_OVER, f"The lab did not start; {log} may say why.")


def main() -> None:
    """Run the lab whose options are the only argument."""
    from kirzl_lab.cli.supervisor import up  # noqa: PLC0415 - `start_in_background` needs none of it

    raw = json.loads(sys.argv[1])
    options = Options(
        folder=Folder(Path(raw["folder"]["path"])),
        hub_config=Path(raw["hub_config"]),
        courses=Path(raw["courses"]),
        port=raw["port"],
        demo=raw["demo"],
    )
    try:
        try:
            up(options, _tell)
        except OSError as error:
            raise cannot_use(error) from None
    except Stop as stop:
        _tell({"event": "stopped", "code": stop.code, "sentence": stop.sentence, "lines": stop.lines})
        print(stop.sentence, *stop.lines, sep="\n", file=sys.stderr)
        sys.exit(stop.code)


def _tell(event: dict[str, Any]) -> None:
    try:
        print(json.dumps(event), flush=True)
    except BrokenPipeError:
        sys.stdout = sys.stderr  # whoever started us has gone on; the log hears the rest


if __name__ == "__main__":
    main()
