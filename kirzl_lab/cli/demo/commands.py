"""What can be said on the command line about demo labs."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from kirzl_lab.cli.exits import Exit
from kirzl_lab.cli.show import as_json, exit_codes, out, stops
from kirzl_lab.cli.state import Folder

app = typer.Typer(help="A lab that is for trying, started with `kirzl-lab up --demo`.", no_args_is_help=True)


@app.command(epilog=exit_codes(Exit.NO, Exit.USAGE, Exit.CANNOT))
def seed(
    *,
    data: Annotated[Path, typer.Option(metavar="DIR", help="The data folder of the lab.")] = Path(".lab"),
    students: Annotated[
        int, typer.Option(metavar="N", min=1, max=30, help="How many students of ml-101 hand something in.")
    ] = 30,
    json: Annotated[bool, typer.Option("--json", metavar="", help="Answer with JSON on standard output.")] = False,
) -> None:
    """Fill the sample course ml-101: assignments released, handed in, graded, with feedback. What is there stays."""
    from kirzl_lab.cli.demo import seed as seeding  # noqa: PLC0415 - brings notebooks in

    with stops(json_wanted=json):
        found = seeding.seed(Folder.at(data), students, lambda line: None if json else out.print(escape(line)))
    if json:
        as_json(found.as_json())
        return
    for line in found.assignments:
        out.print(
            f"[green]✓[/] {escape(line.assignment)}: {line.submissions} submissions of {line.students} students, "
            f"{line.late} late, {line.graded} graded, {line.feedback} with feedback"
        )
    if not found.added:
        out.print("All of it was there before.")
    out.print(f"Log in at [bold cyan underline]{found.url}[/] as lecturer or student1 of the Demo University.")
