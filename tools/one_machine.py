"""`python -m tools.one_machine up|down`: the whole lab on a Kubernetes of this machine, with demo institutions.

What `make cluster` does: the cluster of `tools/onenode`, the images of `images/`, the chart with the values for one
machine, the sample courses and their materials, and a port of this machine that leads to the lab. Everything that is
there already is left as it is, so that a second run takes seconds.
"""

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from images import build, node
from images.__main__ import UV
from images.plan import BY_NAME, REPOSITORY, Choices
from kirzl_lab.cli.cluster import install as installing
from kirzl_lab.cli.cluster import materials
from kirzl_lab.cli.cluster.connection import Cluster
from kirzl_lab.cli.cluster.helm import VARIABLE, Helm
from kirzl_lab.cli.cluster.progress import Progress
from kirzl_lab.cli.cluster.values import Site, as_json
from kirzl_lab.cli.exits import Exit, Stop
from kirzl_lab.cli.show import out, stops
from kirzl_lab.cli.up import tell_accounts
from tools.onenode import api, cluster, host, images
from tools.onenode.build import BuildError, binary
from tools.onenode.paths import KUBECONFIG
from tools.onenode.waiting import until

CHART = REPOSITORY / "helm" / "kirzl-lab"
VALUES = CHART / "examples" / "one-machine.yaml"
COURSES = REPOSITORY / "courses"
CONTEXT = "onenode"
NAMESPACE = "kirzl-lab"
PORT = 8000
FIRST = ("postgres", "hub", "proxy", "demo-institutions")
"""Images without which there is no login page; the others are loaded while these start."""
REST = ("notebook", "notebook-gpu", "grader", "egress")
ANSWERS_WITHIN_S = 60

Say = Callable[[str], None]
Images = dict[str, build.Built]


def up(port: int = PORT, *, say: Say = print) -> str:
    """The cluster and the lab on it; the address of the lab. Raises `Stop`, and what `tools.onenode` raises."""
    host.check()
    with ThreadPoolExecutor(2) as pool:
        starting = pool.submit(cluster.up, lambda line: say(f"cluster: {line}"))
        built = built_images(say)
        _load([built[name] for name in FIRST], say, starting)
        starting.result()
    return _install(built, NAMESPACE, port, courses=COURSES, values=(), say=say)


def install(
    *,
    namespace: str = NAMESPACE,
    port: int = PORT,
    courses: Path = COURSES,
    values: Sequence[Path] = (),
    say: Say = print,
) -> str:
    """The lab on the cluster that runs, or an upgrade of it; returns its address when the login page answers.

    `values` are files of more values, which win over those for one machine. Raises `Stop`.
    """
    return _install(built_images(say), namespace, port, courses=courses, values=values, say=say)


def _install(built: Images, namespace: str, port: int, *, courses: Path, values: Sequence[Path], say: Say) -> str:
    _load([built[name] for name in FIRST], say)
    with ThreadPoolExecutor(1) as pool, _values(port, built) as own:
        rest = pool.submit(_load, [built[name] for name in REST], say)
        lab = Cluster(CONTEXT, namespace, KUBECONFIG)
        with Progress(quiet=say is not print) as progress:
            os.environ.setdefault(VARIABLE, str(binary("helm")))
            helm = Helm(lab)
            plan = installing.look(lab, helm, str(CHART), Site((VALUES, own, *values), courses=courses))
            if plan.missing:
                lines = tuple(f"{finding.what}: {finding.found}" for finding in plan.missing)
                raise Stop(Exit.NO, "The lab cannot be installed:", lines)
            cluster.forward(f"{namespace}/proxy:{port}", port)
            done = installing.install(lab, helm, plan, progress)
            until(lambda: _answers(port), f"the login page of {plan.url}", ANSWERS_WITHIN_S)
            if done and not done.walls.ok:
                raise Stop(Exit.FELL_OVER, f"{done.walls.what}: {done.walls.found}. {done.walls.advice}")
            say(f"the login page answers at {plan.url}")
            rest.result()
            copy_materials(lab, courses, progress)
    return plan.url


def down() -> None:
    """End the cluster, and the lab with it; nothing of either stays."""
    cluster.down()


def built_images(say: Say) -> Images:
    """The images of the lab by name, those built that are not in the cache. Raises what `images.build` raises."""
    described = {name: build.described(BY_NAME[name], Choices()) for name in (*FIRST, *REST)}
    missing = [name for name, image in described.items() if not image.archive.exists()]
    if missing:
        build.ensure_programs(say)
        with build.Builder(Choices(), UV) as builder:
            for name in missing:
                say(f"image {name} is built, which takes about {BY_NAME[name].seconds} s")
                described[name] = builder.build(BY_NAME[name])
    return described


def copy_materials(lab: Cluster, courses: Path, progress: Progress) -> None:
    """The materials of the courses onto their volumes; what is there already is replaced. Raises `Stop`."""
    for space, folder in materials.courses_with_materials(courses):
        done = materials.copy(lab, space, folder, progress)
        progress.done(f"materials of {space}: {done.written} files")


def _load(wanted: Sequence[build.Built], say: Say, starting: "Future[None] | None" = None) -> None:
    """Bring images into the node, as soon as the cluster that starts takes them; those that it has are left alone."""
    if starting:
        until(lambda: starting.done() or _takes_images(), "containerd to answer", 120)
    there = images.present()
    for image in wanted:
        if image.reference not in there:
            begun = time.monotonic()
            node.load(image)
            say(f"image {image.name} loaded: {time.monotonic() - begun:.1f} s")


def _takes_images() -> bool:
    try:
        images.present()
    except subprocess.CalledProcessError:
        return False
    return True


@contextmanager
def _values(port: int, built: Images) -> Iterator[Path]:
    """What is particular to this machine: the port, and the exact images that were built here."""
    references = {name: image.reference for name, image in built.items()}
    own = {"publicUrl": f"http://lab.localhost:{port}", "images": {"references": references}}
    with TemporaryDirectory(prefix="kirzl-one-machine-") as folder:
        file = Path(folder) / "this-machine.json"
        file.write_text(as_json(own), encoding="utf-8")
        yield file


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/hub/login", headers={"Host": f"lab.localhost:{port}"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)


@app.command("up")
def _up(port: Annotated[int, typer.Option(help="where browsers find the lab", min=1, max=65535)] = PORT) -> None:
    """Start the cluster and the lab on it, or what of them does not run."""
    begun = time.monotonic()
    with stops(json_wanted=False):
        url = up(port)
    out.print(f"\nThe lab runs at [bold cyan underline]{url}[/] [dim]({time.monotonic() - begun:.0f} s)[/]\n")
    tell_accounts()
    out.print(f"kubectl and kirzl-lab reach it with KUBECONFIG={KUBECONFIG}. `make cluster-down` ends it.")


@app.command("down")
def _down() -> None:
    """End the cluster and the lab; nothing of them stays."""
    down()
    out.print("No cluster.")


def main() -> int:
    """Runs the command of the command line; returns the exit status."""
    try:
        app(standalone_mode=True)
    except (
        host.UnsuitableError,
        BuildError,
        build.CannotBuildError,
        build.BuildFailedError,
        cluster.DiedError,
        api.KubectlError,
        TimeoutError,
    ) as problem:
        print(problem, file=sys.stderr)
    except subprocess.CalledProcessError as problem:
        said = problem.stderr.decode(errors="replace") if isinstance(problem.stderr, bytes) else problem.stderr
        print(f"{os.fspath(problem.cmd[0])} failed: {(said or '').strip()}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
