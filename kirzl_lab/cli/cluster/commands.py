"""What can be said on the command line about a lab on a cluster; what is done is in the modules beside it."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from kirzl_lab.cli.exits import Exit, Stop
from kirzl_lab.cli.show import as_json, exit_codes, out, stops

Context = Annotated[str, typer.Option(metavar="NAME", help="A context of your kubeconfig: the cluster.")]
Namespace = Annotated[str, typer.Option(metavar="NAME", help="The lab's namespace.")]
Json = Annotated[bool, typer.Option("--json", metavar="", help="Answer with JSON on standard output.")]
NAMESPACE = "kirzl-lab"
CHART = "helm/kirzl-lab"
NOT_IN_IT = "Not in a backup: homes, materials and course volumes. They are for your storage's own snapshots."
SINCE_THEN = "Courses and rosters are those of that time, too: run `kirzl-lab install` with your folders of today."

app = typer.Typer()
course = typer.Typer(
    help="Courses: make them and look after them, with a token of yours in KIRZL_LAB_TOKEN; materials on a cluster.",
    no_args_is_help=True,
)


@app.command(epilog=exit_codes(Exit.NO, Exit.USAGE, Exit.CANNOT, Exit.RUNS_ALREADY, Exit.FELL_OVER))
def install(
    *,
    context: Context,
    namespace: Namespace = NAMESPACE,
    values: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Values of the chart; may be given several times, later ones win."),
    ] = None,
    hub_config: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A folder with lab.yaml, sizes.yaml and institutions.yaml. No file of values may have these keys, then."),
    ] = None,
    courses: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The folder with one folder a course. Without it the lab keeps the courses that it has."),
    ] = None,
    chart: Annotated[str, typer.Option(metavar="CHART", help="The chart: a folder, or what else Helm takes.")] = CHART,
    dry_run: Annotated[bool, typer.Option("--dry-run", metavar="", help="Look at everything, change nothing.")] = False,
    json: Json = False,
) -> None:  # fmt: skip
    """Install the lab on a cluster, or bring it up to date: looks first, says what is missing, waits until it runs."""
    with stops(json_wanted=json):
        from kirzl_lab.cli.cluster import install as installing  # noqa: PLC0415 - each command loads what it needs
        from kirzl_lab.cli.cluster.connection import Cluster  # noqa: PLC0415
        from kirzl_lab.cli.cluster.helm import Helm  # noqa: PLC0415
        from kirzl_lab.cli.cluster.progress import Progress  # noqa: PLC0415
        from kirzl_lab.cli.cluster.values import Site, files_of  # noqa: PLC0415

        cluster = Cluster(context, namespace)
        helm = Helm(cluster)
        with Progress(quiet=json) as progress:
            progress.now("Looking at the cluster")
            plan = installing.look(cluster, helm, chart, Site(files_of(values or ()), hub_config, courses))
            if not json:
                for finding in plan.findings:
                    out.print(finding.line())
            if plan.missing:
                lines = tuple(f"{each.what}: {each.found}; {each.advice}" for each in plan.missing)
                raise Stop(Exit.NO, "Nothing was installed, since this is missing:", lines)
            done = installing.install(cluster, helm, plan, progress, dry_run=dry_run)
    if json:
        told = {"url": plan.url, "dry_run": dry_run, "findings": [finding.as_json() for finding in plan.findings]}
        as_json(told | ({"seconds": round(done.seconds, 1), "network_policies": done.walls.as_json()} if done else {}))
    elif done is None:
        out.print("Nothing was changed: this install would work out.")
    else:
        out.print(done.walls.line())
        out.print(f"\nThe lab is at [bold cyan underline]{escape(done.url)}[/] [dim]({done.seconds:.0f} s)[/]\n")
        if installing.has_demo(plan):
            from kirzl_lab.cli.up import tell_accounts  # noqa: PLC0415

            tell_accounts()
    if done and done.walls.needed and not done.walls.ok:
        raise typer.Exit(Exit.NO)


@course.command(epilog=exit_codes(Exit.NO, Exit.USAGE, Exit.CANNOT, Exit.FELL_OVER))
def materials(
    space: Annotated[str, typer.Argument(metavar="SPACE", help="The course, such as ml-101.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What its people shall see in `materials`.")],
    *,
    context: Context,
    namespace: Namespace = NAMESPACE,
    delete: Annotated[
        bool, typer.Option("--delete", metavar="", help="Remove what is not in FOLDER, also what lecturers added.")
    ] = False,
    json: Json = False,
) -> None:
    """Copy a folder onto the volume that a course's servers have as `materials`. Running servers see it at once."""
    with stops(json_wanted=json):
        from kirzl_lab.cli.cluster.connection import Cluster  # noqa: PLC0415 - each command loads what it needs
        from kirzl_lab.cli.cluster.materials import copy  # noqa: PLC0415
        from kirzl_lab.cli.cluster.progress import Progress  # noqa: PLC0415

        with Progress(quiet=json) as progress:
            done = copy(Cluster(context, namespace), space, folder, progress, delete=delete)
            progress.done(f"{space}: {done.written} files, {done.size / 1e6:.1f} MB")
            for name in done.removed:
                progress.say(f"  removed: {name}")
            for name in done.left_out:
                progress.say(f"  left out, since it is a link: {name}")
    if json:
        as_json({"written": done.written, "bytes": done.size, "removed": done.removed, "left_out": done.left_out})


@app.command(epilog=exit_codes(Exit.NO, Exit.USAGE, Exit.CANNOT, Exit.FELL_OVER))
def backup(
    *,
    context: Context,
    namespace: Namespace = NAMESPACE,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The new file; it holds secrets.")],
    json: Json = False,
) -> None:
    """Copy a running lab's databases and secrets into one file. Homes and materials are for your storage's snapshots."""
    with stops(json_wanted=json):
        from kirzl_lab.cli.cluster.backup import make  # noqa: PLC0415 - each command loads what it needs
        from kirzl_lab.cli.cluster.connection import Cluster  # noqa: PLC0415
        from kirzl_lab.cli.cluster.progress import Progress  # noqa: PLC0415

        with Progress(quiet=json) as progress:
            manifest = make(Cluster(context, namespace), to, progress)
    if json:
        as_json({"file": to, "manifest": manifest.as_json()})
    else:
        out.print(f"The backup is in {escape(str(to))}. Keep it closed: it holds the lab's secrets.")
        out.print(NOT_IN_IT)


@app.command(epilog=exit_codes(Exit.NO, Exit.USAGE, Exit.CANNOT, Exit.FELL_OVER))
def restore(
    *,
    context: Context,
    namespace: Namespace = NAMESPACE,
    from_: Annotated[Path, typer.Option("--from", metavar="FILE", help="What `kirzl-lab backup` made.")],
    end_servers: Annotated[
        bool, typer.Option("--end-servers", metavar="", help="End servers of people that run now.")
    ] = False,
    json: Json = False,
) -> None:
    """Make an installed lab what it was when a backup was made. Everybody waits meanwhile."""
    with stops(json_wanted=json):
        from kirzl_lab.cli.cluster.archive import Backup  # noqa: PLC0415 - each command loads what it needs
        from kirzl_lab.cli.cluster.connection import Cluster  # noqa: PLC0415
        from kirzl_lab.cli.cluster.progress import Progress  # noqa: PLC0415
        from kirzl_lab.cli.cluster.restore import put_back  # noqa: PLC0415

        with Progress(quiet=json) as progress:
            checked = Backup(from_)
            progress.done(f"{from_} is whole")
            manifest = put_back(Cluster(context, namespace), checked, progress, end_servers=end_servers)
    if json:
        as_json({"file": from_, "manifest": manifest.as_json()})
    else:
        out.print(f"The lab is what it was at {manifest.made}.")
        out.print(SINCE_THEN)
        out.print(NOT_IN_IT)
