"""What can be said on the command line about courses and rosters; the lab service does it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.markup import escape
from rich.table import Table

from kirzl_lab.cli.cluster import commands
from kirzl_lab.cli.exits import Exit, Stop
from kirzl_lab.cli.lab_api import LabApi, lab_api
from kirzl_lab.cli.show import as_json, exit_codes, out, stops

Name = Annotated[str, typer.Argument(metavar="COURSE", help="The course, such as ml-101.")]
Url = Annotated[
    str | None,
    typer.Option(
        metavar="URL", envvar="KIRZL_LAB_URL", help="Where browsers find the lab; without it, the one of --data."
    ),
]
Data = Annotated[Path, typer.Option(metavar="DIR", help="The data folder of a lab on this machine.")]
Json = Annotated[bool, typer.Option("--json", metavar="", help="Answer with JSON on standard output.")]
CODES = exit_codes(Exit.NO, Exit.USAGE, Exit.CANNOT)
DATA = Path(".lab")

app = commands.course

roster = typer.Typer(
    help="Who is in a course. Commands need a token of yours in KIRZL_LAB_TOKEN.", no_args_is_help=True
)
app.add_typer(roster, name="roster")


@app.command(epilog=CODES)
def new(
    name: Name,
    *,
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A course.yaml that says everything; the options below do without."),
    ] = None,
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="The course's name.")] = None,
    title_en: Annotated[str | None, typer.Option(metavar="TEXT", help="Its name in English, if it has two.")] = None,
    term: Annotated[str | None, typer.Option(metavar="TEXT", help="The term, for example 2026/27.")] = None,
    starts: Annotated[str | None, typer.Option(metavar="DAY", help="First day for students, as 2026-10-12.")] = None,
    ends: Annotated[str | None, typer.Option(metavar="DAY", help="Last day for students.")] = None,
    size: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SIZE", help="A size of its servers; may be given several times, the first is chosen at first."
        ),
    ] = None,
    url: Url = None,
    data: Data = DATA,
    json: Json = False,
) -> None:
    """Make a course with you as its instructor. It can be opened at once."""
    with stops(json_wanted=json):
        if file is not None:
            plain = _course_file(file)
        elif title and term and size:
            plain = {
                "title": {"de": title, "en": title_en or title},
                "term": term,
                "starts": starts,
                "ends": ends,
                "sizes": size,
                "default_size": size[0],
            }
        else:
            raise Stop(Exit.USAGE, "Give --title, --term and --size, or a course.yaml with --file.")
        with lab_api(url, data) as lab:
            made = lab.send("POST", "courses", json={"name": name, "course": plain})
    _tell(made, json, f"The course {name} is there, and you instruct it.")


@app.command(name="list", epilog=CODES)
def list_(url: Url = None, data: Data = DATA, json: Json = False) -> None:
    """List your courses."""
    with stops(json_wanted=json), lab_api(url, data) as lab:
        found = lab.get("courses")["courses"]
    if json:
        as_json(found)
        return
    rows = [
        (each["name"], each["title"]["en"], each["term"], each["role"], "archived" if each["archived_at"] else "")
        for each in found
    ]
    _table(("course", "title", "term", "your role", ""), rows, "You are in no course.")


@app.command(epilog=CODES)
def copy(
    name: Name,
    new_name: Annotated[str, typer.Argument(metavar="NEW", help="The name of the copy.")],
    *,
    term: Annotated[str, typer.Option(metavar="TEXT", help="The term of the copy.")],
    starts: Annotated[str | None, typer.Option(metavar="DAY", help="Its first day; other days move along.")] = None,
    weeks: Annotated[int, typer.Option(metavar="N", help="Without --starts: how many weeks days move.")] = 0,
    url: Url = None,
    data: Data = DATA,
    json: Json = False,
) -> None:
    """Copy a course for another term: assignments are kept, the roster has you alone."""
    wanted = {"name": new_name, "term": term, "starts": starts, "weeks": weeks}
    with stops(json_wanted=json), lab_api(url, data) as lab:
        made = lab.send("POST", f"{_at(name)}/copy", json=wanted)
    _tell(made, json, f"The course {new_name} is there, and you instruct it.")


@app.command(epilog=CODES)
def archive(name: Name, url: Url = None, data: Data = DATA, json: Json = False) -> None:
    """Archive a course: from now on it is only to be read, and its servers end."""
    with stops(json_wanted=json), lab_api(url, data) as lab:
        told = lab.send("POST", f"{_at(name)}/archive")
    _tell(told, json, f"The course {name} is archived.")


@app.command(epilog=CODES)
def restore(name: Name, url: Url = None, data: Data = DATA, json: Json = False) -> None:
    """Open an archived course again, as it was."""
    with stops(json_wanted=json), lab_api(url, data) as lab:
        told = lab.send("POST", f"{_at(name)}/restore")
    _tell(told, json, f"The course {name} is as it was.")


@app.command(epilog=CODES)
def delete(name: Name, url: Url = None, data: Data = DATA, json: Json = False) -> None:
    """Delete an archived course. For two weeks it can be restored; then it is gone for good."""
    with stops(json_wanted=json), lab_api(url, data) as lab:
        told = lab.send("DELETE", f"{_at(name)}")
    _tell(told, json, f"The course {name} is deleted; until {told['delete_after']} it can be restored.")


@app.command(epilog=CODES)
def download(
    name: Name,
    *,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The new tar file.")],
    url: Url = None,
    data: Data = DATA,
    json: Json = False,
) -> None:
    """Save everything of a course: roster, assignments, submissions with receipts, feedback."""
    with stops(json_wanted=json), lab_api(url, data) as lab:
        size = lab.save(f"{_at(name)}/download", to)
    _tell({"file": str(to), "bytes": size}, json, f"Everything of {name} is in {to} ({size / 1e6:.1f} MB).")


@roster.command(name="list", epilog=CODES)
def roster_list(
    name: Name,
    *,
    state: Annotated[
        str | None, typer.Option(metavar="STATE", help="Only rows that are `waiting`, `bound` or in `conflict`.")
    ] = None,
    url: Url = None,
    data: Data = DATA,
    json: Json = False,
) -> None:
    """List the rows of a roster, each with its person."""
    asked = {"state": state} if state else {}
    with stops(json_wanted=json), lab_api(url, data) as lab:
        rows = lab.every(f"{_at(name)}/roster", **asked)
    if json:
        as_json(rows)
        return
    shown = [
        (each["institution"], each["value"], each["role"], each["section"], each["person_name"] or "", each["state"])
        for each in rows
    ]
    _table(("institution", "value", "role", "section", "person", "state"), shown, "Nobody is on this roster.")


@roster.command(epilog=CODES)
def upload(
    name: Name,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV file; its first line names the columns.")],
    *,
    complete: Annotated[
        bool, typer.Option("--complete", metavar="", help="Remove whoever is not in FILE, but no instructor.")
    ] = False,
    institution: Annotated[
        str | None, typer.Option(metavar="NAME", help="The institution of rows in which none is named.")
    ] = None,
    role: Annotated[str, typer.Option(metavar="ROLE", help="The role of rows in which none is named.")] = "student",
    dry_run: Annotated[bool, typer.Option("--dry-run", metavar="", help="Only tell what would change.")] = False,
    url: Url = None,
    data: Data = DATA,
    json: Json = False,
) -> None:
    """Put a file of people on a roster: all of it, or nothing when a line of it is wrong."""
    with stops(json_wanted=json), lab_api(url, data) as lab:
        body = file.read_bytes()
        asked: dict[str, Any] = {"complete": complete, "role": role} | (
            {"institution": institution} if institution else {}
        )
        preview = lab.send("POST", f"{_at(name)}/roster/preview", body=body, **asked)
        if preview["mistakes"]:
            lines = tuple(f"{file}:{each['line']}: {each['message']}" for each in preview["mistakes"])
            raise Stop(Exit.NO, "Nothing was changed, since the file has mistakes:", lines)
        changes = preview["changes"]
        if changes and not dry_run:
            changes = lab.send("PUT", f"{_at(name)}/roster", body=body, mark=preview["mark"], **asked)["changes"]
    _tell_changes(changes, json, dry_run=dry_run)


@roster.command(epilog=CODES)
def add(
    name: Name,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="The e-mail address or number of the person.")],
    *,
    institution: Annotated[str, typer.Option(metavar="NAME", help="The person's institution.")],
    claim: Annotated[str, typer.Option(metavar="CLAIM", help="What VALUE is.")] = "email",
    role: Annotated[str, typer.Option(metavar="ROLE", help="student, assistant or instructor.")] = "student",
    section: Annotated[str, typer.Option(metavar="TEXT", help="Group within the course.")] = "",
    url: Url = None,
    data: Data = DATA,
    json: Json = False,
) -> None:
    """Add somebody to a roster, or give them another role or section."""
    row = {"institution": institution, "claim": claim, "value": value, "role": role, "section": section}
    with stops(json_wanted=json), lab_api(url, data) as lab:
        changes = lab.send("POST", f"{_at(name)}/roster", json=row)["changes"]
    _tell_changes(changes, json)


@roster.command(epilog=CODES)
def remove(
    name: Name,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="The e-mail address or number of the row.")],
    url: Url = None,
    data: Data = DATA,
    json: Json = False,
) -> None:
    """Take somebody off a roster. What they handed in is kept."""
    with stops(json_wanted=json), lab_api(url, data) as lab:
        row = _row_of(lab, name, value)
        changes = lab.send("DELETE", f"{_at(name)}/roster/{row}")["changes"]
    _tell_changes(changes, json)


def _at(name: str) -> str:
    """Where the course is in the API, whatever was typed for its name."""
    return f"courses/{quote(name, safe='')}"


def _row_of(lab: LabApi, name: str, value: str) -> int:
    rows = lab.every(f"{_at(name)}/roster", search=value)
    found = [row for row in rows if row["value"].lower() == value.lower()]
    if len(found) != 1:
        what = f"{len(found)} rows have" if found else "no row has"
        raise Stop(
            Exit.NO,
            f"On the roster of {name}, {what} the value {value}: look at `kirzl-lab course roster list {name}`.",
        )
    return int(found[0]["id"])


def _course_file(path: Path) -> dict[str, Any]:
    from kirzl_lab.catalog.models import CourseFile  # noqa: PLC0415 - only this command needs the catalogue
    from kirzl_lab.catalog.validate import validate  # noqa: PLC0415
    from kirzl_lab.catalog.yaml_file import read_yaml  # noqa: PLC0415

    file = read_yaml(path, path.absolute().parent, "a course.yaml")
    found = validate(file, CourseFile)
    if found is None or file.mistakes:
        raise Stop(Exit.NO, "No course was made, since the file has mistakes:", tuple(map(str, file.mistakes)))
    return found.model_dump(mode="json")


def _tell(told: Any, json_wanted: bool, sentence: str) -> None:
    if json_wanted:
        as_json(told)
    else:
        out.print(f"[green]✓[/] {escape(sentence)}")


def _tell_changes(changes: list[dict[str, Any]], json_wanted: bool, *, dry_run: bool = False) -> None:
    if json_wanted:
        as_json({"dry_run": dry_run, "changes": changes})
        return
    for each in changes:
        about = (each["institution"], each["value"], _pair(each["role"]), _pair(each["section"]))
        out.print(escape(f"{each['action']}: {' '.join(filter(None, about))}"))
    if not changes:
        out.print("[green]✓[/] The roster is like that already.")
    elif dry_run:
        out.print("Nothing was changed: this is what would happen without --dry-run.")


def _pair(value: list[str] | str) -> str:
    return value if isinstance(value, str) else " → ".join(each or "–" for each in value)


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]], nothing: str) -> None:
    if not rows:
        out.print(nothing)
        return
    table = Table(*heads, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*map(escape, row))
    out.print(table)
