"""The commands for a cluster as they are typed: what is asked for, and the exit codes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kirzl_lab.cli.exits import Exit
from kirzl_lab.cli.main import app

KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: a, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: a, user: {}}]
contexts: [{name: a, context: {cluster: a, user: a}}]
current-context: a
"""


@pytest.fixture(autouse=True)
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(KUBECONFIG)
    monkeypatch.setenv("KUBECONFIG", str(file))
    # The client reads this when it is imported.
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(file))


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, words)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result.exit_code, " ".join(result.output.split())


@pytest.mark.parametrize("words", [["install"], ["backup", "--to", "x"], ["restore", "--from", "x"], ["course", "materials", "a", "b"]])  # fmt: skip
def test_the_cluster_must_be_named(words: list[str]) -> None:
    code, said = run(*words)
    assert code == Exit.USAGE
    assert "--context" in said


def test_a_context_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    code, said = run("backup", "--context", "b", "--to", str(tmp_path / "x.tar"))
    assert code == Exit.CANNOT
    assert "no context b" in said
    assert "It has: a." in said


def test_a_cluster_that_does_not_answer_is_told(tmp_path: Path) -> None:
    code, said = run("backup", "--context", "a", "--to", str(tmp_path / "x.tar"))
    assert code == Exit.CANNOT
    assert "does not answer at http://127.0.0.1:9" in said
    assert not (tmp_path / "x.tar").exists()


def test_restore_looks_at_the_file_before_the_cluster(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"junk" * 500)
    result = CliRunner().invoke(app, ["restore", "--context", "a", "--from", str(tmp_path / "x.tar"), "--json"])
    assert result.exit_code == Exit.NO
    assert "no tar archive" in json.loads(result.stdout)["error"]


def test_install_wants_files_of_values_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "helm").touch()
    monkeypatch.setenv("KIRZL_LAB_HELM", str(tmp_path / "helm"))
    code, said = run("install", "--context", "a", "--values", str(tmp_path / "none.yaml"))
    assert code == Exit.USAGE
    assert "no file of values" in said
