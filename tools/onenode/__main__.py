"""`python -m tools.onenode`: Kubernetes on this machine, up and down."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import psutil
import typer
from rich.console import Console
from rich.table import Table

from tools.onenode import api, build, cluster, host, images, network
from tools.onenode.paths import KUBECONFIG, LOGS

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
_EVERYTHING = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


@app.command()
def up() -> None:
    """Start the cluster, or what of it does not run."""
    cluster.up(lambda line: print(line, flush=True))
    print(f"Kubernetes is up: export KUBECONFIG={KUBECONFIG}")
    print(f"Logs: {LOGS}. To end it: python -m tools.onenode down")


@app.command()
def down() -> None:
    """End the cluster; its volumes go with it."""
    cluster.down()
    print("No cluster.")


@app.command()
def status() -> None:
    """Say what runs, and how much memory it takes."""
    host.check()
    if not cluster.is_there():
        print("No cluster.")
        raise typer.Exit(1)
    table = Table("component", "process", "memory", "log", box=None)
    ended = False
    for component in cluster.processes():
        process = component.process()
        ended = ended or process is None
        state = ("ended", "") if process is None else (str(process.pid), _memory(process))
        table.add_row(component.name, *state, str(component.log))
    Console().print(table)
    print(f"API server: https://127.0.0.1:{cluster.api_port()}, KUBECONFIG={KUBECONFIG}")
    raise typer.Exit(1 if ended else 0)


def _memory(process: psutil.Process) -> str:
    return f"{process.memory_info().rss / 2**20:.0f} MiB"


@app.command(context_settings=_EVERYTHING)
def kubectl(context: typer.Context) -> None:
    """Run kubectl against the cluster."""
    _there()
    raise typer.Exit(subprocess.run(api.kubectl_command(context.args), check=False).returncode)  # noqa: S603


@app.command()
def load(archive: Annotated[Path, typer.Argument(help="an OCI or Docker archive", exists=True)]) -> None:
    """Bring the images of an archive into the cluster."""
    _there()
    for name in images.load(archive.resolve()):
        print(name)


@app.command()
def forward(
    service: Annotated[str, typer.Argument(help="NAMESPACE/NAME:PORT")],
    port: Annotated[int, typer.Argument(help="the loopback port of this machine", min=1, max=65535)],
) -> None:
    """Lead a loopback port to a Service, the lab's front door, until `down`."""
    _there()
    cluster.forward(service, port)
    print(f"http://127.0.0.1:{port} leads to {service}.")


def _there() -> None:
    host.check()
    if not (cluster.is_there() and network.exists()):
        raise host.UnsuitableError("There is no cluster: python -m tools.onenode up")


def main() -> int:
    """Runs the command of the command line; returns the exit status."""
    try:
        app(standalone_mode=True)
    except (
        host.UnsuitableError,
        build.BuildError,
        cluster.DiedError,
        api.KubectlError,
        TimeoutError,
        ValueError,
    ) as problem:
        print(problem, file=sys.stderr)
    except subprocess.CalledProcessError as problem:
        said = problem.stderr.decode(errors="replace") if isinstance(problem.stderr, bytes) else problem.stderr
        print(f"{os.fspath(problem.cmd[0])} failed: {(said or '').strip()}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
