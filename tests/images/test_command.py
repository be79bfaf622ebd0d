"""The command line, as far as it goes without building."""

import json
from pathlib import Path

import pytest

from images import __main__ as command
from images.plan import BY_NAME


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "kirzl-lab" / "images"


def test_the_list_says_what_pods_name_and_what_nodes_load(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--list"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in listed] == list(BY_NAME)
    for one in listed:
        assert one["reference"] == f"localhost/kirzl-lab/{one['name']}:{one['key']}"
        assert one["archive"] == str(cache / f"{one['name']}-{one['key']}.tar")


def test_the_list_says_how_large_an_archive_is(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["--list", "base"])
    [before] = json.loads(capsys.readouterr().out)
    cache.mkdir(parents=True)
    Path(before["archive"]).write_bytes(b"12345")
    command.main(["--list", "base"])
    [after] = json.loads(capsys.readouterr().out)
    assert (before["bytes"], after["bytes"]) == (0, 5)


@pytest.mark.parametrize(
    ("words", "expected"),
    [(["hubb"], "no image called hubb"), (["--arg", "JAXX=cuda", "notebook-gpu"], "build argument JAXX")],
)
def test_a_mistake_is_a_sentence(words: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(words) == 1
    assert expected in capsys.readouterr().err


def test_all_options_of_the_readme_are_there() -> None:
    options = command.parser().parse_args(["--base", "b", "--push", "r", "--load", "--arg", "JAX=cuda", "hub"])
    assert (options.base, options.push, options.load, options.arg, options.names) == (
        "b",
        "r",
        True,
        ["JAX=cuda"],
        ["hub"],
    )
