"""Helm, the program that brings the chart into the cluster. Ctrl-C ends it in order: it then notes what it has done."""

# ruff: noqa: S603 - it starts helm, which is what it is for

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from kirzl_lab.cli.cluster.connection import Cluster, Thing, environment_for_helm
from kirzl_lab.cli.cluster.pods import RELEASE
from kirzl_lab.cli.exits import Exit, Stop

VARIABLE = "KIRZL_LAB_HELM"
OLDEST = (3, 14)
CUT_OFF_AFTER = timedelta(minutes=12)
"""The hook before an upgrade may take ten minutes; a release that is pending for longer was cut off."""
PENDING = ("pending-install", "pending-upgrade", "pending-rollback")
BETWEEN_S = 0.2


class Helm:
    """Helm for one namespace of one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        """Raises `Stop` where there is no helm."""
        self.cluster = cluster
        found = os.environ.get(VARIABLE) or shutil.which("helm")
        if found is None or not Path(found).exists():
            raise Stop(
                Exit.CANNOT, f"Helm is not here: install it (helm.sh), or name it in {VARIABLE}; `make tools` builds one."
            )  # fmt: skip
        self.program = found

    def version(self) -> str:
        """Such as v4.3.1."""
        return self._run("version", "--template={{.Version}}")

    def default_values(self, chart: str) -> str:
        """The chart's own values.yaml."""
        return self._run("show", "values", chart)

    def needs(self, chart: str) -> str:
        """The versions of Kubernetes for which the chart is made, such as `>=1.30.0-0`."""
        return str(YAML(typ="safe").load(self._run("show", "chart", chart)).get("kubeVersion", ""))

    def render(self, chart: str, values: Sequence[Path]) -> list[Thing]:
        """The objects that the chart makes, without asking the cluster. Raises `Stop` with what the chart refuses."""
        said = self._run(
            "template", RELEASE, chart, f"--namespace={self.cluster.namespace}", *_files(values), "--kube-version=1.99.0"
        )  # fmt: skip
        return [thing for thing in YAML(typ="safe").load_all(said) if thing]

    def pending_since(self) -> datetime | None:
        """When an install began that has not ended, None when there is none."""
        for each in self._releases():
            if each["metadata"]["labels"].get("status") in PENDING:
                return datetime.fromisoformat(each["metadata"]["creationTimestamp"])
        return None

    def refuse_pending(self) -> None:
        """Raise `Stop` when an install has not ended: beside its note Helm does not even try another."""
        if since := self._cut_off_since():
            raise Stop(
                Exit.NO,
                f"An install that began at {since:%H:%M} (UTC) was cut off. The next one without --dry-run goes on from "
                "there; only then can another one be tried.",
            )

    def clear_pending(self) -> None:
        """Take the note of an install away that was cut off. Raises `Stop` while it may still be at work."""
        if self._cut_off_since() is None:
            return
        for each in self._releases():
            if each["metadata"]["labels"].get("status") in PENDING:
                self.cluster.delete(self.cluster.at(f"secrets/{each['metadata']['name']}"))

    def _cut_off_since(self) -> datetime | None:
        since = self.pending_since()
        if since is None:
            return None
        if datetime.now(UTC) - since < CUT_OFF_AFTER:
            raise Stop(
                Exit.RUNS_ALREADY,
                f"Another install is at work in the namespace {self.cluster.namespace} since {since:%H:%M} (UTC): wait "
                f"until it has ended. One that was cut off is forgotten {CUT_OFF_AFTER.seconds // 60} minutes after it began.",
            )
        return since

    def install(self, chart: str, values: Sequence[Path], meanwhile: Callable[[], None], *, dry_run: bool) -> None:
        """Install or upgrade, without waiting for pods; `meanwhile` is called while it works. Raises `Stop`."""
        command = [
            *(self.program, "upgrade", RELEASE, chart, "--install", f"--kube-context={self.cluster.context}"),
            *(f"--namespace={self.cluster.namespace}", "--timeout=11m", "--history-max=5", *_files(values)),
            *(("--dry-run=server",) if dry_run else ()),
        ]
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment_for_helm(self.cluster),
        ) as helm:
            try:
                while helm.poll() is None:
                    meanwhile()
                    time.sleep(BETWEEN_S)  # between two looks at hooks, while Helm works
            except BaseException:
                helm.terminate()  # it notes that it was ended, so that the next install can begin
                helm.wait()
                raise
            said = helm.stderr.read() if helm.stderr else ""
        if helm.returncode:
            raise _refused(said)

    def _releases(self) -> list[Thing]:
        return self.cluster.items(self.cluster.at("secrets"), f"owner=helm,name={RELEASE}")

    def _run(self, *arguments: str | Path) -> str:
        done = subprocess.run(
            [self.program, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            env=environment_for_helm(self.cluster),
        )
        if done.returncode:
            raise _refused(done.stderr)
        return done.stdout


def release_values(helm: Helm) -> Mapping[str, Any]:
    """The values that the lab was installed with, the chart's own among them. Raises `Stop`."""
    found: Mapping[str, Any] = json.loads(
        helm._run("get", "values", RELEASE, "--all", "--output=json", f"--namespace={helm.cluster.namespace}",
                  f"--kube-context={helm.cluster.context}")
    )  # fmt: skip
    return found


def _files(values: Sequence[Path]) -> list[str]:
    return [f"--values={file}" for file in values]


def _refused(said: str) -> Stop:
    lines = [line for line in said.strip().splitlines() if line.strip() and not line.startswith("level=")]
    return Stop(Exit.FELL_OVER, "Helm refuses:", tuple(line.removeprefix("Error: ") for line in lines))
