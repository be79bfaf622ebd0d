"""`.ci/needs` on machines that lack things: what is missing is named and left out, and with CI=true it is an error."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

NEEDS = Path(__file__).parents[2] / ".ci" / "needs"
EVERYTHING = ("initdb", "chromium", "go", "apt-get")
NOBODY = 65534
IS_ROOT = os.geteuid() == 0
DEBIANS = any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
"""Debian's PostgreSQL is not on the PATH: where it is installed, no test can take it away."""


@pytest.fixture
def programs() -> Iterator[Path]:
    """A folder for PATH, which everybody may look into, with what the script itself is made of."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for program in ("id", "ls"):
            has(folder, program, program)
        yield folder


def has(folder: Path, program: str, really: str = "true") -> None:
    """Put a program there; all but `id` and `ls` are only looked for."""
    found = shutil.which(really)
    assert found is not None
    (folder / program).symlink_to(found)


def needs(programs: Path, *, ci: bool = False, user: int | None = None) -> "subprocess.CompletedProcess[str]":
    """Run it with nothing but these programs. On standard input, since not everybody may read the repository."""
    environment = {"PATH": str(programs)} | ({"CI": "true"} if ci else {})
    command = [str(shutil.which("sh"))]
    with NEEDS.open() as script:
        return subprocess.run(
            command, stdin=script, capture_output=True, text=True, env=environment, cwd="/", user=user, check=False
        )


def test_what_is_missing_is_named_and_left_out(programs: Path) -> None:
    done = needs(programs)
    assert done.returncode == 0
    missing = {"PostgreSQL": "postgres", "Chromium": "browser", "Go 1.26": "cluster"}
    if DEBIANS:
        del missing["PostgreSQL"]
    assert done.stdout == f"not ({' or '.join(missing.values())})\n"
    lines = done.stderr.splitlines()
    assert len(lines) == len(missing)
    for line, (what, mark) in zip(lines, missing.items(), strict=True):
        assert line.startswith("Missing: ") and what in line
        assert line.endswith(f"Left out: the tests marked `{mark}`.")


def test_only_what_is_missing_is_left_out(programs: Path) -> None:
    for program in ("initdb", "go", "apt-get"):
        has(programs, program)
    done = needs(programs, user=NOBODY if IS_ROOT else None)  # root would install it
    assert done.stdout == "not (browser or cluster)\n"


def test_where_all_is_there_all_is_tested_but_for_a_cluster_without_root(programs: Path) -> None:
    for program in EVERYTHING:
        has(programs, program)
    done = needs(programs)
    assert (done.returncode, done.stdout) == (0, "" if IS_ROOT else "not (cluster)\n")
    without_root = needs(programs, user=NOBODY if IS_ROOT else None)
    assert (without_root.returncode, without_root.stdout) == (0, "not (cluster)\n")
    assert "Missing: root on Debian" in without_root.stderr


def test_what_cannot_be_installed_is_left_out(programs: Path) -> None:
    has(programs, "initdb")
    has(programs, "go")
    has(programs, "apt-get", "false")
    done = needs(programs)
    assert done.returncode == 0
    assert done.stdout == ("not (browser)\n" if IS_ROOT else "not (browser or cluster)\n")
    assert ("Installing for the tests: chromium\nThey could not be installed." in done.stderr) is IS_ROOT


@pytest.mark.parametrize("there", [(), ("initdb", "chromium")], ids=["nothing", "all-but-go"])
def test_with_ci_what_is_missing_is_an_error(programs: Path, there: tuple[str, ...]) -> None:
    for program in there:
        has(programs, program)
    done = needs(programs, ci=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Missing: root on Debian, or Go 1.26" in done.stderr
    assert done.stderr.endswith("With CI=true nothing is left out: install what is missing.\n")


def test_with_ci_nothing_is_said_where_all_is_there(programs: Path) -> None:
    for program in EVERYTHING:
        has(programs, program)
    done = needs(programs, ci=True)
    assert (done.returncode, done.stdout) == ((0, "") if IS_ROOT else (1, ""))


def test_the_run_of_ci_is_all_of_make_test_with_ci(programs: Path) -> None:
    has(programs, "dirname", "dirname")
    make = programs / "make"
    make.write_text(f'#!{shutil.which("sh")}\necho "$PWD" "$CI" "$@"\n')
    make.chmod(0o755)
    run = [str(shutil.which("sh")), str(NEEDS.with_name("run"))]
    done = subprocess.run(run, env={"PATH": str(programs)}, cwd="/", capture_output=True, text=True, check=True)
    assert done.stdout == f"{NEEDS.parents[1]} true test\n"
