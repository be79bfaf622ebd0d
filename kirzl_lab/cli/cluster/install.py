"""`kirzl-lab install`: look first, then bring the lab into a namespace and wait until it is there.

Can be ended and run again at any moment: every step brings something to the state that it should have.
"""

import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kirzl_lab.cli.cluster import checks, walls
from kirzl_lab.cli.cluster.connection import Cluster, RefusedError
from kirzl_lab.cli.cluster.facts import RESTRICTED, gather, namespace_is_fine
from kirzl_lab.cli.cluster.helm import Helm
from kirzl_lab.cli.cluster.pods import INSTANCE, OURS, RELEASE, pods_of
from kirzl_lab.cli.cluster.progress import Progress
from kirzl_lab.cli.cluster.states import Part, parts
from kirzl_lab.cli.cluster.values import Site, Values, as_json, check, given, merged, read, with_nearest
from kirzl_lab.cli.doctor import Finding
from kirzl_lab.cli.exits import Exit, Stop

WITHIN_S = 600
BETWEEN_S = 0.5
LOG_LINES = 15


@dataclass(frozen=True)
class Plan:
    """What an install will do."""

    chart: str
    site: Site
    values: Values
    """All of them, the chart's own among them."""
    on_top: Values
    """Those that come from folders."""
    findings: list[Finding] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where the lab will be."""
        return str(self.values.get("publicUrl", "")).rstrip("/")

    @property
    def missing(self) -> list[Finding]:
        """What stops an install."""
        return [finding for finding in self.findings if finding.needed and not finding.ok]


@dataclass(frozen=True)
class Installed:
    """A lab that is there."""

    url: str
    seconds: float
    walls: Finding


def look(cluster: Cluster, helm: Helm, chart: str, site: Site) -> Plan:
    """Check the catalogue, the values and the cluster; changes nothing. Raises `Stop`."""
    on_top = site.on_top(_archive_there(cluster))
    defaults = _parsed(helm.default_values(chart))
    values = merged(defaults, *map(read, site.files), on_top)
    if all(values.get(key) for key in ("lab", "sizes", "institutions")):
        check(site, values)  # otherwise the chart says what is missing
    with _written(site, on_top) as files:
        try:
            objects = helm.render(chart, files)
        except Stop as stop:
            lines = tuple(with_nearest(line, defaults) for line in stop.lines)
            raise Stop(stop.code, stop.sentence, lines) from None
    facts = gather(cluster, helm.version(), objects, checks.secrets_of(values), str(values.get("publicUrl", "")))
    return Plan(chart, site, values, on_top, checks.findings(facts, values, objects))


def install(cluster: Cluster, helm: Helm, plan: Plan, progress: Progress, *, dry_run: bool = False) -> Installed | None:
    """Do what `look` planned, and wait until the lab answers within the cluster. Raises `Stop`."""
    begun = time.monotonic()
    if dry_run:
        helm.refuse_pending()
    else:
        helm.clear_pending()
        make_namespace(cluster)
    with _written(plan.site, plan.on_top) as files:
        progress.now("Helm brings the chart")
        before = {job["metadata"]["uid"] for job in _jobs(cluster)}
        try:
            helm.install(plan.chart, files, lambda: progress.hear(_hooks(cluster, before)), dry_run=dry_run)
        except Stop:
            _stop_for_prepare(cluster, [part for part in _hooks(cluster, before) if part.failed])
            raise
    if dry_run:
        return None
    wait(cluster, progress)
    progress.now("Trying whether network policies hold")
    return Installed(plan.url, time.monotonic() - begun, walls.tried(cluster))


def make_namespace(cluster: Cluster) -> None:
    """The namespace, with Pod Security labels. Raises `Stop`."""
    path = f"/api/v1/namespaces/{cluster.namespace}"
    there = cluster.find(path)
    try:
        if there is None:
            metadata = {"name": cluster.namespace, "labels": RESTRICTED}
            cluster.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        elif not namespace_is_fine(there):
            cluster.patch(path, {"metadata": {"labels": RESTRICTED}})
    except RefusedError as error:
        raise Stop(Exit.CANNOT, f"The namespace {cluster.namespace} cannot be made: {error.message}") from None


def wait(cluster: Cluster, progress: Progress, within_s: float = WITHIN_S) -> None:
    """Return when every part is ready. Raises `Stop` with what stands in the way."""
    end = time.monotonic() + within_s
    while True:
        found = now(cluster)
        progress.hear(found)
        _stop_for_prepare(cluster, [part for part in found if part.failed])
        if found and all(part.ready for part in found):
            return
        if time.monotonic() > end:
            lines = tuple(f"{part.title}: {part.doing}" for part in found if not part.ready)
            raise Stop(Exit.FELL_OVER, f"The lab is not ready after {within_s / 60:.0f} minutes. It waits for:", lines)
        time.sleep(BETWEEN_S)  # between two looks at all parts, which shows how far they are


def now(cluster: Cluster) -> list[Part]:
    """How far each part of the lab is."""
    chosen = f"{OURS},{INSTANCE}={RELEASE}"
    workloads = [
        *cluster.items(cluster.at("deployments", "apps/v1"), chosen),
        *cluster.items(cluster.at("statefulsets", "apps/v1"), chosen),
    ]
    return parts(workloads, _jobs(cluster), cluster.items(cluster.at("pods"), chosen))


def _jobs(cluster: Cluster) -> list[dict[str, Any]]:
    return cluster.items(cluster.at("jobs", "batch/v1"), f"{OURS},app.kubernetes.io/component=prepare")


def _hooks(cluster: Cluster, before: set[str]) -> list[Part]:
    """The Job that an upgrade runs first, once it is there."""
    new = [job for job in _jobs(cluster) if job["metadata"]["uid"] not in before]
    return parts((), new, cluster.items(cluster.at("pods"), OURS) if new else ())


def _stop_for_prepare(cluster: Cluster, failed: Sequence[Part]) -> None:
    if not failed:
        return
    lines: list[str] = []
    for pod in pods_of(cluster, "prepare"):
        if pod["status"]["phase"] == "Failed":
            lines = cluster.text(cluster.at(f"pods/{pod['metadata']['name']}/log"), container="prepare").splitlines()
            break
    said = tuple(lines[-LOG_LINES:])
    raise Stop(
        Exit.FELL_OVER, "The catalogue could not be brought into the lab's database; the lab goes on as it was:", said
    )


def _archive_there(cluster: Cluster) -> str | None:
    there = cluster.find(cluster.at("configmaps/courses")) or {}
    archive: str | None = there.get("binaryData", {}).get("courses.tar.gz")
    return archive


def _parsed(text: str) -> Values:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        return read(Path(file.name))


@contextmanager
def _written(site: Site, on_top: Mapping[str, Any]) -> Iterator[list[Path]]:
    """The files of values for Helm, what comes from folders last."""
    with tempfile.TemporaryDirectory(prefix="kirzl-lab-") as folder:
        file = Path(folder) / "from-folders.json"
        os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600))
        file.write_text(as_json(dict(on_top)), encoding="utf-8")
        yield [*site.files, file]


def has_demo(plan: Plan) -> bool:
    """Whether the lab has the demo institutions."""
    return bool(given(plan.values, "demo", "enabled"))
