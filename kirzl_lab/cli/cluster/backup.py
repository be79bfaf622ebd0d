"""`kirzl-lab backup`: what a lab on a cluster remembers, into one file, while it runs.

The hub's database, the lab database and the lab's secrets. Not in it: the volumes of people and courses, which are the
storage's to copy (snapshots), and what the values of the chart say, which a site keeps with its configuration.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kirzl_lab import __version__
from kirzl_lab.cli.cluster.archive import HUB, LAB, SECRETS, Manifest, Sink, writing
from kirzl_lab.cli.cluster.connection import Cluster
from kirzl_lab.cli.cluster.database import database_of
from kirzl_lab.cli.cluster.execute import CommandFailedError, execute
from kirzl_lab.cli.cluster.pods import ready_pod
from kirzl_lab.cli.cluster.progress import Progress
from kirzl_lab.cli.exits import Exit, Stop

OWN_KEY = "JUPYTERHUB_CRYPT_KEY"
RECEIPT_KEYS = "KIRZL_LAB_RECEIPT_KEYS"
ELSEWHERE = "KIRZL_LAB_HUB_DATABASE_URL"
"""What tells the hub to keep its own database in a PostgreSQL."""
HUB_DATABASE = "/var/lib/kirzl-lab/hub.sqlite"
_COPY = f"""
import os, shutil, sqlite3, sys
copy = "/tmp/hub-backup.sqlite"
source, target = sqlite3.connect("file:{HUB_DATABASE}?mode=rw", uri=True), sqlite3.connect(copy)
try:
    source.backup(target)
    target.execute("PRAGMA journal_mode=DELETE")
    target.close()
    with open(copy, "rb") as file:
        shutil.copyfileobj(file, sys.stdout.buffer)
    sys.stdout.flush()
finally:
    os.unlink(copy)
"""


def make(cluster: Cluster, path: Path, progress: Progress) -> Manifest:
    """Back the lab up into a new file. Raises `Stop`; then there is no file."""
    hub = hub_of(cluster)
    with writing(path) as writer, database_of(cluster, hub) as database:
        try:
            # The hub first: whom it knows, the lab database knows, too.
            with writer.part(HUB) as sink:
                _told(progress, "hub's database", sink, lambda to: _copy_hub(cluster, to))
            step = database.step()
            with writer.part(LAB) as sink:
                _told(progress, "lab database", sink, database.dump)
        except CommandFailedError as error:
            raise Stop(Exit.FELL_OVER, f"The backup was not made: {error}") from None
        with writer.part(SECRETS) as sink:
            sink.write(json.dumps(secrets_of(cluster, hub, *service_of(cluster))).encode())
        progress.done("secrets")
        made = datetime.now(UTC).isoformat(timespec="seconds")
        return writer.finish(Manifest(made, __version__, step, _address(hub)))


def hub_of(cluster: Cluster) -> Mapping[str, Any]:
    """The hub's Deployment. Raises `Stop` where there is no lab."""
    found = cluster.find(cluster.at("deployments/hub", "apps/v1"))
    if found is None:
        raise Stop(
            Exit.CANNOT,
            f"There is no lab in the namespace {cluster.namespace} of {cluster.context}: `kirzl-lab install` brings one.",
        )
    environment = {each["name"]: each for each in found["spec"]["template"]["spec"]["containers"][0].get("env", [])}
    if OWN_KEY not in environment:
        raise Stop(Exit.CANNOT, f"The hub in {cluster.namespace} is another chart's: back it up as that chart says.")
    if _is_elsewhere(cluster, environment.get(ELSEWHERE)):
        raise Stop(
            Exit.CANNOT,
            "The hub's own database is a PostgreSQL of yours: copy it and the lab database there, at one moment.",
        )
    return found


def _is_elsewhere(cluster: Cluster, variable: Mapping[str, Any] | None) -> bool:
    """Whether the hub's database is no file: the variable is there, and so is the key that it takes from a Secret."""
    if variable is None:
        return False
    if not _from_secret(variable):
        return bool(variable.get("value"))
    of = variable["valueFrom"]["secretKeyRef"]
    secret = cluster.find(cluster.at(f"secrets/{of['name']}")) or {}
    return of["key"] in (secret.get("data") or {})


def service_of(cluster: Cluster) -> tuple[Mapping[str, Any], ...]:
    """The lab service's Deployment, if there is one."""
    found = cluster.find(cluster.at("deployments/service", "apps/v1"))
    return () if found is None else (found,)


def secrets_of(cluster: Cluster, *deployments: Mapping[str, Any]) -> dict[str, Any]:
    """The Secrets that they are told of, by name: data, labels and annotations. Raises `Stop`."""
    found: dict[str, Any] = {}
    for name in sorted({name for each in deployments for name in secret_names(each)}):
        secret = cluster.find(cluster.at(f"secrets/{name}"))
        if secret is None:
            raise Stop(Exit.CANNOT, f"The Secret {name} cannot be read in the namespace {cluster.namespace}.")
        about = {key: secret["metadata"].get(key) or {} for key in ("labels", "annotations")}
        found[name] = {"data": secret.get("data") or {}, "immutable": secret.get("immutable", False), **about}
    return found


def secret_names(deployment: Mapping[str, Any]) -> list[str]:
    """The Secrets that its container takes its environment from."""
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    names = {each["valueFrom"]["secretKeyRef"]["name"] for each in container.get("env", []) if _from_secret(each)}
    names |= {each["secretRef"]["name"] for each in container.get("envFrom", []) if "secretRef" in each}
    return sorted(names)


def own_secret(hub: Mapping[str, Any]) -> str:
    """The name of the Secret with the lab's own keys."""
    return str(_source(hub, OWN_KEY))


def receipts_secret(service: Mapping[str, Any]) -> str | None:
    """The name of the Secret with what receipts are signed with; None for a lab from before there were any."""
    return _source(service, RECEIPT_KEYS)


def _source(deployment: Mapping[str, Any], variable: str) -> str | None:
    environment = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    return next((each["valueFrom"]["secretKeyRef"]["name"] for each in environment if each["name"] == variable), None)


def _from_secret(variable: Mapping[str, Any]) -> bool:
    return "secretKeyRef" in variable.get("valueFrom", {})


def _copy_hub(cluster: Cluster, to: Any) -> None:
    execute(cluster, ready_pod(cluster, "hub"), "hub", ["python", "-c", _COPY], to=to)


def _told(progress: Progress, what: str, sink: Sink, fill: Any) -> None:
    def take(data: bytes) -> None:
        sink.write(data)
        progress.now(f"{what}: {sink.size / 1e6:.1f} MB")

    fill(take)
    progress.done(f"{what}, {sink.size / 1e6:.1f} MB")


def _address(hub: Mapping[str, Any]) -> str:
    environment = hub["spec"]["template"]["spec"]["containers"][0].get("env", [])
    url = next((each.get("value", "") for each in environment if each["name"] == "KIRZL_LAB_PUBLIC_URL"), "")
    return url if urlsplit(url).hostname else ""
