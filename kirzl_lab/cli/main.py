"""The `kirzl-lab` command: what can be said on the command line. What is done is in the modules beside it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from kirzl_lab import __version__
from kirzl_lab.cli import courses as course_commands
from kirzl_lab.cli.cluster import commands
from kirzl_lab.cli.demo import commands as demo_commands
from kirzl_lab.cli.exits import Exit
from kirzl_lab.cli.show import as_json, exit_codes, out, stops
from kirzl_lab.cli.state import Folder

if TYPE_CHECKING:
    from kirzl_lab.store.apply import Change

app = typer.Typer(
    help="The lab of this machine: start it, look at it, end it; check what a site wrote; and the lab on a cluster.",
    epilog=exit_codes(*(code for code in Exit if code is not Exit.OK)),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
catalog = typer.Typer(help="What a site writes in YAML: check it, apply it.", no_args_is_help=True)
receipt = typer.Typer(help="Receipts for submissions.", no_args_is_help=True)
app.add_typer(catalog, name="catalog")
app.add_typer(receipt, name="receipt")
app.add_typer(commands.app)
app.add_typer(course_commands.app, name="course")
app.add_typer(demo_commands.app, name="demo")

Data = Annotated[Path, typer.Option(metavar="DIR", help="The lab's state: databases, homes, secrets, logs.")]
HubConfig = Annotated[
    Path, typer.Option(metavar="DIR", help="The folder with lab.yaml, sizes.yaml and institutions.yaml.")
]
Courses = Annotated[Path, typer.Option(metavar="DIR", help="The folder with one folder a course.")]
Json = Annotated[bool, typer.Option("--json", metavar="", help="Answer with JSON on standard output.")]

DATA = Path(".lab")
HUB_CONFIG = Path("hub_config")
COURSES = Path("courses")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kirzl-lab {__version__}")
        raise typer.Exit()


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, metavar="", help="Say which this is.")
    ] = False,
) -> None:
    pass


@app.command(epilog=exit_codes(Exit.NO, Exit.USAGE, Exit.CANNOT, Exit.RUNS_ALREADY, Exit.FELL_OVER))
def up(
    *,
    data: Data = DATA,
    hub_config: HubConfig = HUB_CONFIG,
    courses: Courses = COURSES,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=65535,
            help="Where browsers find the lab. When it is busy, the next free one is taken.  \\[default: the one of last time, or 8000]",
        ),
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", metavar="", help="Start three demo institutions to log in with.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", metavar="", help="Return when the lab runs; it goes on in the background.")
    ] = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", metavar="", help="Open no browser.")] = False,
    json: Json = False,
) -> None:
    """Start the lab, and stay with it until Ctrl-C."""
    from kirzl_lab.cli.lab import Options  # noqa: PLC0415 - each command loads what it needs
    from kirzl_lab.cli.up import run_up  # noqa: PLC0415

    with stops(json_wanted=json):
        options = Options(Folder.at(data), hub_config, courses, port, demo)
        run_up(options, detach=detach, browser=not no_browser, json_wanted=json)


@app.command(epilog=exit_codes(Exit.USAGE, Exit.CANNOT, Exit.FELL_OVER))
def down(data: Data = DATA, json: Json = False) -> None:
    """End the lab of a data folder. Nothing that people did is lost."""
    from kirzl_lab.cli.down import end  # noqa: PLC0415

    with stops(json_wanted=json):
        ended = end(Folder.at(data))
    if json:
        as_json({"was_running": ended.was_running, "killed": ended.killed, "leftovers": ended.leftovers})
    elif not ended.was_running:
        left = f" What an earlier one left behind is ended: {', '.join(ended.leftovers)}." if ended.leftovers else ""
        out.print(f"No lab runs on {escape(str(data))}.{left}")
    else:
        out.print("The lab did not end when asked to and was killed." if ended.killed else "The lab has ended.")


@app.command(epilog=exit_codes(Exit.NO, Exit.USAGE))
def status(data: Data = DATA, json: Json = False) -> None:
    """Say whether the lab runs, where, and how its parts are."""
    from kirzl_lab.cli.down import look  # noqa: PLC0415

    found = look(Folder.at(data))
    note = found.note
    if json:
        about = (
            {key: getattr(note, key) for key in ("url", "state", "started", "demo", "mode", "pids", "ports")}
            if note
            else {}
        )
        health = {name: "ok" if well else "does not answer" for name, well in found.health.items()}
        as_json({"running": found.running, "data": found.data, **about, "health": health})
    elif not found.running:
        out.print(f"No lab runs on {escape(str(data))}: start one with `kirzl-lab up`.")
    elif note is None:
        out.print(f"A lab is just starting on {escape(str(data))}.")
    else:
        what = "runs" if note.state == "running" else "is starting"
        out.print(f"The lab {what} at [bold cyan underline]{note.url}[/] since {note.started}.")
        for name, well in found.health.items():
            out.print(f"  [green]✓[/] {name}" if well else f"  [red]✗[/] {name} does not answer")
    raise typer.Exit(Exit.OK if found.running else Exit.NO)


@app.command(epilog=exit_codes(Exit.NO, Exit.USAGE))
def doctor(data: Data = DATA, json: Json = False) -> None:
    """Say what this machine has for the lab, what is missing, and what to do about it."""
    from kirzl_lab.cli.doctor import findings  # noqa: PLC0415

    found = list(findings(Folder.at(data)))
    fine = all(finding.ok or not finding.needed for finding in found)
    if json:
        as_json({"ok": fine, "findings": [finding.as_json() for finding in found]})
    else:
        for finding in found:
            out.print(finding.line())
    raise typer.Exit(Exit.OK if fine else Exit.NO)


@catalog.command(epilog=exit_codes(Exit.NO, Exit.USAGE))
def check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="Files or folders of the catalogue; without one, all of it."),
    ] = None,
    hub_config: HubConfig = HUB_CONFIG,
    courses: Courses = COURSES,
    json: Json = False,
) -> None:
    """Print every mistake in the catalogue, with file, line, what was found and what was expected."""
    from kirzl_lab.catalog.check import check as mistakes_in  # noqa: PLC0415

    mistakes = mistakes_in(paths or [], hub_config, courses)
    if json:
        as_json({"ok": not mistakes, "mistakes": [mistake.as_json() for mistake in mistakes]})
    elif mistakes:
        for mistake in mistakes:
            out.print(escape(str(mistake)))
        out.print(f"[bold red]{len(mistakes)} {'mistake' if len(mistakes) == 1 else 'mistakes'}.[/]")
    else:
        out.print("[green]✓[/] No mistakes.")
    raise typer.Exit(Exit.NO if mistakes else Exit.OK)


@catalog.command(name="apply", epilog=exit_codes(Exit.NO, Exit.USAGE, Exit.CANNOT))
def apply_(
    data: Data = DATA,
    hub_config: HubConfig = HUB_CONFIG,
    courses: Courses = COURSES,
    dry_run: Annotated[bool, typer.Option("--dry-run", metavar="", help="Only tell what would change.")] = False,
    json: Json = False,
) -> None:
    """Bring the catalogue into the lab of a data folder, and tell what changed. A running lab goes on."""
    from kirzl_lab.cli.applying import changes_of  # noqa: PLC0415

    with stops(json_wanted=json):
        changes = changes_of(Folder.at(data), hub_config, courses, dry_run=dry_run)
    if json:
        as_json({"dry_run": dry_run, "changes": [_as_json(change) for change in changes]})
        return
    for change in changes:
        out.print(escape(str(change)))
    if not changes:
        out.print("[green]✓[/] The lab knows this catalogue already.")
    elif dry_run:
        out.print("Nothing was changed: this is what `kirzl-lab catalog apply` would do.")


def _as_json(change: "Change") -> dict[str, object]:
    return {"action": change.action.value, "what": change.what, "detail": change.detail, "message": str(change)}


@receipt.command(epilog=exit_codes(Exit.NO, Exit.USAGE, Exit.CANNOT))
def verify(
    receipt_file: Annotated[Path, typer.Argument(metavar="FILE", help="The receipt.")],
    *,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="The archive that it should be the receipt for.")
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            metavar="FILE",
            help="The public keys of the lab that signed, as it shows them under /services/lab/api/receipts/key; without it, those of --data.",
        ),
    ] = None,
    data: Data = DATA,
    json: Json = False,
) -> None:
    """Say whether a receipt is genuine, and what it is for. Asks no network."""
    from kirzl_lab.cli.receipt import check as verified  # noqa: PLC0415 - each command loads what it needs

    with stops(json_wanted=json):
        found = verified(receipt_file, file, key, Folder.at(data))
    if json:
        as_json(found.as_json())
        return
    out.print("[green]✓[/] The receipt is genuine.")
    for line in found.lines():
        out.print(f"  {escape(line)}")


def main() -> None:
    """The entry point."""
    os.umask(0o077)  # databases and logs are for whoever runs the lab alone
    app(prog_name="kirzl-lab")


if __name__ == "__main__":
    main()
