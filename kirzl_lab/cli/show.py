"""What a person sees in the terminal: colours where there is one, plain sentences everywhere, JSON when asked for."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

from kirzl_lab.cli.exits import MEANINGS, Exit, Stop, cannot_use

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)
"""Both follow NO_COLOR and leave colours out when nobody looks (rich does)."""


def exit_codes(*codes: Exit) -> str:
    """The exit codes of a command for its help."""
    told = (Exit.OK, *codes)
    return "Exit codes: " + "; ".join(f"{code.value} {MEANINGS[code]}" for code in told) + "."


def as_json(value: Any) -> None:
    """Print one JSON document."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def can_open_browser() -> bool:
    """Whether somebody sits in front of this terminal and a browser could open there."""
    if not sys.stdout.isatty():
        return False
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@contextmanager
def _as_stop() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise cannot_use(error) from None


@contextmanager
def stops(*, json_wanted: bool) -> Iterator[None]:
    """Turn a `Stop` into its sentence and exit code, and Ctrl-C into an end without a traceback."""
    try:
        with _as_stop():
            yield
    except Stop as stop:
        if json_wanted:
            as_json({"error": stop.sentence, "lines": list(stop.lines), "exit_code": int(stop.code), **stop.details})
        else:
            err.print(f"[bold red]{escape(stop.sentence)}[/]")
            for line in stop.lines:
                err.print(f"  {escape(line)}")
        raise typer.Exit(stop.code) from None
    except KeyboardInterrupt:
        err.print("Ended before it was done.")
        raise typer.Exit(130) from None
