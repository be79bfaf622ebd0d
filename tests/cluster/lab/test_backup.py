"""A lab that is destroyed and put back from its backup: people find what was theirs, and a bad backup changes nothing."""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from kirzl_lab.cli.cluster.archive import Backup
from tests.cluster.lab.conftest import LogIn
from tests.cluster.lab.lab import ClusterLab
from tests.support.localhost import Loopback
from tests.support.waiting import wait_until
from tools import one_machine
from tools.onenode import paths
from tools.onenode.build import binary

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
CLUSTER = (f"--context={one_machine.CONTEXT}", f"--namespace={one_machine.NAMESPACE}")


def kirzl_lab(*words: str, status: int = 0) -> dict[str, Any]:
    """What the command answers."""
    command = [sys.executable, "-m", "kirzl_lab.cli.main", *words, *CLUSTER, "--json"]
    environment = {**os.environ, "KUBECONFIG": str(paths.KUBECONFIG)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == status, f"{done.stdout}\n{done.stderr}"
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def destroy(lab: ClusterLab) -> None:
    """The lab with its databases and secrets is gone; people's homes are the storage's, and stay."""
    helm = [str(binary("helm")), "uninstall", "lab", f"--namespace={one_machine.NAMESPACE}", "--wait"]
    subprocess.run([*helm, f"--kubeconfig={paths.KUBECONFIG}"], check=True, capture_output=True)
    lab.space.kubectl("delete", "persistentvolumeclaim", "hub-data", "data-postgres-0")
    lab.space.kubectl("delete", "secret", "lab-secrets")


def uids(lab: ClusterLab) -> dict[str, str]:
    """Which pods the lab's parts are."""
    return {part: lab.part(part)["metadata"]["uid"] for part in ("hub", "service", "postgres", "proxy")}


def test_a_destroyed_lab_comes_back(cluster_lab: ClusterLab, person: LogIn, tmp_path: Path) -> None:
    student, operator, mark = person("uni", "student1"), person("uni", "operator"), secrets.token_hex(8)
    server = cluster_lab.open(student, "ml-101", "cpu-small")
    server.run(f"open('kept.txt', 'w').write('{mark}')")
    made = kirzl_lab("backup", f"--to={tmp_path / 'lab.tar'}")["manifest"]  # while a server runs
    assert {part["name"] for part in made["parts"]} == {"hub.sqlite", "lab.sql", "secrets.json"}
    assert made["url"] == cluster_lab.url
    cluster_lab.close(student, "ml-101")
    before = {table: cluster_lab.sql(f"SELECT count(*) FROM {table}") for table in ("identities", "memberships")}
    assert int(before["identities"]) >= 2

    destroy(cluster_lab)
    cluster_lab.install()
    assert cluster_lab.sql("SELECT count(*) FROM identities") == "0"
    # A copy of their cookies: a hub that does not know them takes them away.
    with httpx.Client(cookies=student.http.cookies, transport=Loopback(), follow_redirects=True) as as_before:
        assert as_before.get(f"{cluster_lab.url}/hub/home").url.path != "/hub/home"
    cluster_lab.sql("CREATE TABLE of_the_new_lab (n integer)")

    kirzl_lab("restore", f"--from={tmp_path / 'lab.tar'}")
    assert {table: cluster_lab.sql(f"SELECT count(*) FROM {table}") for table in before} == before
    assert cluster_lab.sql("SELECT to_regclass('of_the_new_lab')") == ""
    again = person("uni", "student1")
    assert again.hub_name == student.hub_name
    assert "Machine Learning from the Ground Up" in again.http.get(f"{cluster_lab.url}/hub/home").text
    assert cluster_lab.open(again, "ml-101", "cpu-small").read("kept.txt") == mark
    # Tokens and encrypted state of that time are good again, so nobody had to log in anew who was in.
    assert operator.visit("/services/lab/people").url.path == "/services/lab/people"


def test_a_restore_that_cannot_be_changes_nothing(cluster_lab: ClusterLab, person: LogIn, tmp_path: Path) -> None:
    student = person("uni", "student2")
    good, bad = tmp_path / "good.tar", tmp_path / "bad.tar"
    kirzl_lab("backup", f"--to={good}")
    assert good.stat().st_mode & 0o777 == 0o600
    server = cluster_lab.open(student, "ml-101", "cpu-small")
    before = uids(cluster_lab)
    broken = bytearray(good.read_bytes())
    broken[5000] ^= 1  # in the hub's database
    bad.write_bytes(broken)
    assert "hub.sqlite is not what it was" in kirzl_lab("restore", f"--from={bad}", status=1)["error"]
    assert "Servers of people run (1)" in kirzl_lab("restore", f"--from={good}", status=1)["error"]
    assert "replaces none" in kirzl_lab("backup", f"--to={good}", status=2)["error"]
    assert Backup(good).manifest.url == cluster_lab.url
    assert uids(cluster_lab) == before
    assert server.run("print(6 * 7)") == "42\n"


def test_servers_end_with_a_restore_where_that_is_said(cluster_lab: ClusterLab, person: LogIn, tmp_path: Path) -> None:
    student = person("uni", "student2")
    cluster_lab.open(student, "ml-101", "cpu-small")
    kirzl_lab("backup", f"--to={tmp_path / 'lab.tar'}")
    kirzl_lab("restore", f"--from={tmp_path / 'lab.tar'}", "--end-servers")
    assert cluster_lab.server_pods() == []
    # The hub of that time thought that the server ran; it looks, and lets its person start anew.
    wait_until(
        lambda: not (student.server("ml-101") or {}).get("ready"), "the hub to see that the server has ended", 60
    )
    assert cluster_lab.open(student, "ml-101", "cpu-small").run("print(6 * 7)") == "42\n"
