"""What operators of a cluster are told to type: each how-to is followed from its first command to its last.

The commands are those of the pages, word by word but for the names that stand for a site's own. `network.md` and
`watching.md` have tests beside what they tell of.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import pytest

from tests.cluster.lab.conftest import LogIn
from tests.cluster.lab.lab import PARTS, ClusterLab
from tests.cluster.space import Space
from tests.docs.pages import CLUSTER, REPOSITORY, blocks, commands
from tests.support.waiting import wait_until
from tools import one_machine
from tools.onenode import api, paths
from tools.onenode.build import binary
from tools.onenode.certificates import NODE

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

PAGES = ("install.md", "institutions.md", "gpus.md", "storage.md", "upgrade.md", "backup.md")
CATALOGUE = ("lab", "sizes", "institutions", "courses")
SECRETS = ("kirzl-lab-database", "kirzl-lab-institutions", "registry-uni")
LIMIT_S = 900


@dataclass(frozen=True)
class Operator:
    """Somebody in a checkout of the lab, with this cluster in their kubeconfig."""

    folder: Path
    names: Mapping[str, str]
    """What stands for a site's own -> what it is here."""

    def follow(self, page: str, then: Mapping[str, Callable[[], object]] | None = None) -> dict[str, str]:
        """Type every command of a page, and after some do what the page says in words; what each printed."""
        typed = commands(CLUSTER / page)
        assert typed and set(then or {}) <= set(typed)
        said: dict[str, str] = {}
        for command in typed:
            said[command] = self.type(command)
            (then or {}).get(command, bool)()
        return said

    def type(self, command: str) -> str:
        """What a command prints, which must work."""
        line = command
        for name, here in self.names.items():
            line = line.replace(name, here)
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "KUBECONFIG": str(paths.KUBECONFIG)}
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        print(f"$ {line}\n{done.stdout}")
        return done.stdout

    def write(self, name: str, text: str) -> None:
        """A file in their folder."""
        (self.folder / name).write_text(text, encoding="utf-8")

    def write_values(self) -> None:
        """What is particular to this cluster, as the lab has it already."""
        values = json.loads(self.type("helm --namespace kirzl-lab get values lab --output=json"))
        own = {key: value for key, value in values.items() if key not in CATALOGUE}
        self.write("my-site/values.yaml", json.dumps(own))


@pytest.fixture
def newcomer(cluster_lab: ClusterLab, tmp_path: Path) -> Operator:
    """An operator who has a checkout and nothing else."""
    folder = tmp_path / "checkout"
    for name in ("hub_config", "courses", "helm"):
        shutil.copytree(REPOSITORY / name, folder / name)
    programs = {
        "kubectl": [str(binary("kubectl"))],
        "helm": [str(binary("helm"))],
        "kirzl-lab": [sys.executable, "-m", "kirzl_lab.cli.main"],
    }
    (folder / "bin").mkdir()
    for name, words in programs.items():
        program = folder / "bin" / name
        program.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        program.chmod(0o755)
    return Operator(
        folder,
        {
            "my-cluster": one_machine.CONTEXT,
            "node-1": NODE,
            "gpu-1": NODE,
            "https://lab.uni.example": cluster_lab.url,
            "https://login.uni.example/realms/main": issuer(cluster_lab),
        },
    )


def issuer(lab: ClusterLab) -> str:
    """The demo institution `uni`."""
    return f"{lab.url.replace('://', '://institutions.')}/uni"


@pytest.fixture
def operator(newcomer: Operator) -> Operator:
    """An operator with a folder for their site."""
    site = newcomer.folder / "my-site"
    for name in ("hub_config", "courses"):
        shutil.copytree(newcomer.folder / name, site / name)
    newcomer.write_values()
    return newcomer


@pytest.fixture
def without_secrets(cluster_lab: ClusterLab) -> Iterator[None]:
    """The lab of one machine has none of a site's Secrets, before and afterwards."""
    remove = ("delete", "secret", "--ignore-not-found", *SECRETS)
    cluster_lab.space.kubectl(*remove)
    yield
    cluster_lab.space.kubectl(*remove)


@pytest.fixture
def another() -> Iterator[str]:
    """The name of a namespace that a page makes."""
    name = f"test-{token_hex(4)}"
    yield name
    api.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


def all_ready(lab: ClusterLab) -> None:
    for part in PARTS:
        lab.ready(part)


def test_install(cluster_lab: ClusterLab, newcomer: Operator, without_secrets: None, another: str) -> None:
    newcomer.write("database.env", "KIRZL_LAB_DATABASE_URL=postgresql+psycopg://lab:secret@db.uni.example:5432/lab\n")
    newcomer.write("institutions.env", "KIRZL_LAB_UNI_SECRET=secret\n")
    newcomer.write("registry.json", '{"auths": {}}')
    first = "kubectl create namespace kirzl-lab"
    names = {**newcomer.names, first: f"kubectl create namespace {another}"}  # the lab's own is there
    said = Operator(newcomer.folder, names).follow(
        "install.md", {"cp -r hub_config courses my-site/": newcomer.write_values}
    )
    assert f"namespace/{another} created" in said[first]
    dry, real = [text for command, text in said.items() if command.startswith("kirzl-lab install")]
    assert "Nothing was changed" in dry
    assert "they hold" in " ".join(real.split())
    all_ready(cluster_lab)


def test_institutions(cluster_lab: ClusterLab, operator: Operator, without_secrets: None) -> None:
    operator.write("institutions.env", "KIRZL_LAB_UNI_SECRET=secret\n")
    before = cluster_lab.part("hub")["metadata"]["uid"]
    said = operator.follow("institutions.md")
    (document,) = [text for command, text in said.items() if command.startswith("curl")]
    assert json.loads(document)["issuer"] == issuer(cluster_lab)
    assert set(cluster_lab.space.get("secret", "kirzl-lab-institutions")["data"]) == {"KIRZL_LAB_UNI_SECRET"}
    assert cluster_lab.part("hub")["metadata"]["uid"] != before


@pytest.fixture
def node_as_it_was() -> Iterator[None]:
    yield
    api.kubectl("uncordon", NODE)
    api.kubectl("label", "node", NODE, "lab.uni.example/gpu-", "nvidia.com/mig.config-")


def test_gpus(cluster_lab: ClusterLab, operator: Operator, node_as_it_was: None, space: Space) -> None:
    (slicing,) = [block for block in blocks(CLUSTER / "gpus.md") if block.file == "time-slicing.yaml"]
    operator.write(slicing.file, slicing.text)
    said = Operator(operator.folder, {**operator.names, "gpu-operator": space.name}).follow("gpus.md")
    (offered,) = [text for command, text in said.items() if "custom-columns" in command]
    assert offered.splitlines()[1].split() == [NODE, "4", "8"]
    labels = api.get("node", NODE)["metadata"]["labels"]
    assert (labels["lab.uni.example/gpu"], labels["nvidia.com/mig.config"]) == ("h100", "all-1g.10gb")
    assert "nvidia.com/gpu" in space.get("configmap", "time-slicing")["data"]["any"]


def test_storage(cluster_lab: ClusterLab, operator: Operator) -> None:
    name = "home-ab12cd--ml-101"  # of nobody, and never mounted
    labels = {"app.kubernetes.io/component": "volume", "kirzl-lab/volume": "home", "kirzl-lab/space": "ml-101"}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    metadata = {"name": name, "labels": labels}
    cluster_lab.space.apply(
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": claim},
    )
    said = operator.follow("storage.md")
    lists = [text for command, text in said.items() if "get pvc" in command]
    assert lists and all(name in text for text in lists)
    assert not cluster_lab.space.kubectl("get", "pvc", name, "--ignore-not-found", "--output=name")


def test_upgrade(cluster_lab: ClusterLab, operator: Operator, person: LogIn) -> None:
    student, mark = person("uni", "student3"), token_hex(8)
    cluster_lab.open(student, "ml-101", "cpu-small").run(f"open('kept.txt', 'w').write('{mark}')")
    try:
        said = operator.follow("upgrade.md")
    finally:
        api.kubectl("uncordon", NODE)
        all_ready(cluster_lab)
    (drained,) = [text for command, text in said.items() if command.startswith("kubectl drain")]
    assert "evicted" in drained
    # Its server ended with the node's part; a start works again, and the file is there.
    wait_until(lambda: not (student.server("ml-101") or {}).get("ready"), "the hub to see that the server has ended")
    assert cluster_lab.open(student, "ml-101", "cpu-small").read("kept.txt") == mark


def test_backup(cluster_lab: ClusterLab, operator: Operator, person: LogIn) -> None:
    student, mark = person("uni", "student1"), token_hex(8)
    cluster_lab.open(student, "ml-101", "cpu-small").run(f"open('kept.txt', 'w').write('{mark}')")
    try:
        said = operator.follow("backup.md")
    finally:
        cluster_lab.install()
    (manifest,) = [text for command, text in said.items() if command.startswith("tar")]
    assert json.loads(manifest)["url"] == cluster_lab.url
    assert cluster_lab.server_pods() == []
    again = person("uni", "student1")
    assert again.hub_name == student.hub_name
    assert cluster_lab.open(again, "ml-101", "cpu-small").read("kept.txt") == mark
