"""Which images there are, what each stands on and which files of the repository go into it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PREFIX = "localhost/kirzl-lab"  # a registry that no machine has, so that nothing is ever pulled by mistake
DEBIAN = "debian"


@dataclass(frozen=True, slots=True)
class Image:
    """One image. Its Containerfile is `images/<name>/Containerfile`."""

    name: str
    title: str
    parent: str
    """The image that its Containerfile gets as the build argument BASE."""
    files: tuple[str, ...] = ()
    """Files and folders that its Containerfile copies, from the root of the repository."""
    arguments: tuple[str, ...] = ()
    """Further build arguments that it knows."""
    version_command: tuple[str, ...] = ()
    """What answers with a version, run as the image's own user."""
    seconds: int = 60
    """What a cold build takes on two cores."""


INSIDE_SERVERS = (
    "kirzl_lab/__init__.py",
    "kirzl_lab/courses/__init__.py",
    "kirzl_lab/courses/in_server",
    "kirzl_lab/logs.py",
    "kirzl_lab/spawning/__init__.py",
    "kirzl_lab/spawning/activity.py",
    "kirzl_lab/spawning/contents.py",
    "kirzl_lab/spawning/idle.py",
    "kirzl_lab/spawning/jupyter",
    "kirzl_lab/spawning/server.py",
    "kirzl_lab/spawning/server_extension.py",
    "kirzl_lab/store/__init__.py",
    "kirzl_lab/store/archive_reading.py",
    "kirzl_lab/store/archive_rules.py",
    "kirzl_lab/store/archives.py",
)
"""The part of the lab that runs inside people's servers. It needs nothing of the rest (`tests/images/test_plan.py`)."""

INSIDE_GRADERS = (
    "kirzl_lab/grading/__init__.py",
    "kirzl_lab/grading/carrier.py",
    "kirzl_lab/grading/execute.py",
    "kirzl_lab/grading/outcomes.py",
)
"""The part that runs beside or as student code; the archives are in the image that it stands on."""

IMAGES = (
    Image("base", "Debian 12 with Python 3.11", DEBIAN, (), (), ("python3.11", "--version"), 100),
    Image(
        "notebook",
        "JupyterLab, nbgrader and the packages of ml-101",
        "base",
        ("images/requirements/notebook.txt", *INSIDE_SERVERS),
        (),
        ("python", "-P", "-m", "kirzl_lab.spawning.server", "--version"),
        90,
    ),
    Image(
        "hub",
        "The hub, the lab service and the controller",
        "base",
        (
            "images/requirements/hub.txt",
            "images/hub/process",
            "requirements/build.txt",
            "pyproject.toml",
            "README.md",
            "LICENSE",
            "kirzl_lab",
            "hub_config",
        ),
        (),
        ("process", "hub", "--version"),
        60,
    ),
    Image(
        "proxy",
        "JupyterHub's configurable-http-proxy",
        "base",
        ("requirements/node.txt", "package.json", "package-lock.json"),
        (),
        ("configurable-http-proxy", "--version"),
        30,
    ),
    Image(
        "demo-institutions",
        "Three OpenID providers for demos and tests",
        "base",
        ("requirements/node.txt", "package.json", "package-lock.json", "tools/demo_institutions"),
        (),
        ("node", "--version"),
        30,
    ),
    Image(
        "notebook-gpu",
        "The notebook image and the packages of dl-201",
        "notebook",
        ("images/requirements/notebook-cpu.txt", "images/requirements/notebook-cuda.txt"),
        ("JAX",),
        ("python", "-P", "-m", "kirzl_lab.spawning.server", "--version"),
        50,
    ),
    Image("grader", "Runs submissions", "notebook", INSIDE_GRADERS, (), ("nbgrader", "--version"), 15),
    Image("postgres", "Debian's PostgreSQL 15", "base", ("images/postgres/serve",), (), ("postgres", "--version"), 40),
    Image("egress", "Squid", "base", ("images/egress/squid.conf",), (), ("squid", "--version"), 30),
)
BY_NAME = {image.name: image for image in IMAGES}


@dataclass(frozen=True, slots=True)
class Choices:
    """What whoever builds may decide."""

    base: str | None = None
    """A registry's Debian 12 in place of one made with debootstrap."""
    arguments: dict[str, str] = field(default_factory=dict)

    def arguments_of(self, image: Image) -> dict[str, str]:
        """The build arguments, besides BASE, that this image gets."""
        return {name: value for name, value in sorted(self.arguments.items()) if name in image.arguments}


class UnknownImageError(Exception):
    """There is no image of that name; the message lists those there are."""


def in_order(names: Iterable[str] = ()) -> list[Image]:
    """The images called `names` (all when none is) and what they stand on, each after its parent.

    Raises `UnknownImageError`.
    """
    wanted: set[str] = set()
    for name in names or BY_NAME:
        if name not in BY_NAME:
            raise UnknownImageError(f"There is no image called {name}. There are: {', '.join(BY_NAME)}.")
        step = name
        while step != DEBIAN:
            wanted.add(step)
            step = BY_NAME[step].parent
    return [image for image in IMAGES if image.name in wanted]
