"""`kirzl-lab restore`: a lab on a cluster as it was when a backup was made.

Nothing is touched before the whole file was checked, and what it needs is there. Then the hub and the lab service end,
databases and secrets are put back, and both start again. Ended half-way, it is run again: every step replaces all of
what it puts back, and the lab does not start before the last.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from alembic.script import ScriptDirectory

from kirzl_lab.cli.cluster import install
from kirzl_lab.cli.cluster.archive import HUB, LAB, SECRETS, Backup, Manifest
from kirzl_lab.cli.cluster.backup import (
    HUB_DATABASE,
    OWN_KEY,
    RECEIPT_KEYS,
    hub_of,
    own_secret,
    receipts_secret,
    service_of,
)
from kirzl_lab.cli.cluster.connection import Cluster, RefusedError
from kirzl_lab.cli.cluster.database import database_of, placement_of
from kirzl_lab.cli.cluster.execute import CommandFailedError, execute
from kirzl_lab.cli.cluster.pods import pods_of, short_lived, until
from kirzl_lab.cli.cluster.progress import Progress
from kirzl_lab.cli.exits import Exit, Stop
from kirzl_lab.store.migrate import FOLDER as MIGRATIONS

SERVERS = "singleuser-server"
STOPPED = ("hub", "service")
WAS = "kirzl-lab/replicas-before-restore"
"""Annotation of a Deployment that was stopped: how many pods it had."""
HERE = frozenset({"KIRZL_LAB_DATABASE_PASSWORD", "KIRZL_LAB_DATABASE_URL"})
"""Keys that belong to the database that is there now, not to the one that the backup was made of."""
END_S = 120
RESTARTED = "kirzl-lab/restored"
_PUT = f"""
import os, shutil, sys
part = "{HUB_DATABASE}.part"
with open(part, "wb") as file:
    shutil.copyfileobj(sys.stdin.buffer, file)
    file.flush()
    os.fsync(file.fileno())
if os.path.getsize(part) != int(sys.argv[1]):
    sys.exit("not all of the hub's database arrived")
for end in ("-wal", "-shm", "-journal"):
    if os.path.exists("{HUB_DATABASE}" + end):
        os.unlink("{HUB_DATABASE}" + end)
os.replace(part, "{HUB_DATABASE}")
"""
_MIGRATE = 'import os; from kirzl_lab.store.migrate import migrate; migrate(os.environ["KIRZL_LAB_DATABASE_URL"])'


def put_back(cluster: Cluster, backup: Backup, progress: Progress, *, end_servers: bool = False) -> Manifest:
    """Make the lab what it was. Raises `Stop`."""
    hub = hub_of(cluster)
    servers = pods_of(cluster, SERVERS)
    if servers and not end_servers:
        raise Stop(
            Exit.NO,
            f"Servers of people run ({len(servers)}), and the hub of the backup does not know them. Say --end-servers to end "
            "them; homes are kept.",
        )
    secrets: Mapping[str, Any] = json.loads(b"".join(backup.chunks(SECRETS)))
    with database_of(cluster, hub) as database:
        try:
            refuse_newer(backup.manifest.step, database.step())
            own, change = own_keys(cluster, hub, secrets)
            receipts = receipt_keys(cluster, service_of(cluster), secrets)
            _stop(cluster, progress)
            put_secrets(cluster, own, change, secrets)
            for path, keys in receipts.items():
                cluster.patch(path, {"data": keys})
            progress.done("secrets")
            progress.now("The lab database is put back")
            database.restore(backup.chunks(LAB))
            progress.done("lab database")
            progress.now("The hub's database is put back")
            _put_hub(cluster, hub, backup)
            progress.done("hub's database")
        except CommandFailedError as error:
            again = "The lab stays ended; mend that and run restore again."
            raise Stop(Exit.FELL_OVER, f"Not everything was put back: {error}. {again}") from None
    _start(cluster)
    install.wait(cluster, progress)
    # Browsers hold connections to the old proxy until it ends, and it knows no server that starts now.
    until(lambda: not any(is_ending(pod) for pod in pods_of(cluster, "proxy")), "the old proxy to end", END_S)
    return backup.manifest


def is_ending(pod: Mapping[str, Any]) -> bool:
    """Whether the pod has its notice."""
    return "deletionTimestamp" in pod["metadata"]


def refuse_newer(step: str, here: str) -> None:
    """Raise `Stop` when a backup's tables are of a newer version than those of the lab that is to hold them."""
    known = [script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()][::-1]
    for which in (step, here):
        if which not in known and which:
            raise Stop(
                Exit.NO,
                f"The step {which} of the lab database is newer than this `kirzl-lab`: use the version that fits it.",
            )
    if not here:
        raise Stop(Exit.CANNOT, "The lab database has no tables yet: let `kirzl-lab install` finish first.")
    if not step or known.index(step) > known.index(here):
        raise Stop(
            Exit.NO,
            f"The backup is of a newer version of the lab (its database is at step {step or '?'}, this lab's at {here}): "
            "install that version first, then restore.",
        )


def _stop(cluster: Cluster, progress: Progress) -> None:
    progress.now("The hub, the lab service and servers end")
    for name in STOPPED:
        path = cluster.at(f"deployments/{name}", "apps/v1")
        replicas = cluster.get(path)["spec"]["replicas"]
        if replicas:
            cluster.patch(path, {"metadata": {"annotations": {WAS: str(replicas)}}})
            cluster.scale(name, 0)
    for pod in pods_of(cluster, SERVERS):
        cluster.delete(cluster.at(f"pods/{pod['metadata']['name']}"))
    until(lambda: not any(pods_of(cluster, name) for name in (*STOPPED, SERVERS)), "the lab to end", END_S)
    progress.done("hub, lab service and servers have ended")


def _start(cluster: Cluster) -> None:
    for name in STOPPED:
        path = cluster.at(f"deployments/{name}", "apps/v1")
        before = (cluster.get(path)["metadata"].get("annotations") or {}).get(WAS, "1")
        cluster.scale(name, int(before))
        cluster.patch(path, {"metadata": {"annotations": {WAS: None}}})
    # The proxy may know the hub by keys that were replaced, by this restore or by one that was cut off.
    template = {"metadata": {"annotations": {RESTARTED: datetime.now(UTC).isoformat(timespec="seconds")}}}
    cluster.patch(cluster.at("deployments/proxy", "apps/v1"), {"spec": {"template": template}})


def own_keys(cluster: Cluster, hub: Mapping[str, Any], backed_up: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The path of the Secret with the lab's own keys, which may have another name by now, and what changes in it.

    Nothing changes when it has the keys of the backup already. Raises `Stop` when it cannot be read, or not be changed.
    """
    own = own_secret(hub)
    path = cluster.at(f"secrets/{own}")
    there = cluster.find(path)
    if there is None:
        raise Stop(Exit.CANNOT, f"The Secret {own} cannot be read in the namespace {cluster.namespace}.")
    now: Mapping[str, str] = there.get("data") or {}
    kept: Mapping[str, str] = next((each["data"] for each in backed_up.values() if OWN_KEY in each["data"]), {})
    wanted = {**kept, **{key: now[key] for key in {*HERE, RECEIPT_KEYS} & set(now)}}
    change = {key: wanted.get(key) for key in sorted({*now, *wanted}) if now.get(key) != wanted.get(key)}
    _refuse_immutable(own, there, change)
    return path, change


def receipt_keys(
    cluster: Cluster, services: Sequence[Mapping[str, Any]], backed_up: Mapping[str, Any]
) -> dict[str, dict[str, str]]:
    """What changes so that receipts of then and of now are both good, by the path of the Secret: the keys of then come first.

    Nothing changes without keys in the backup. Raises `Stop` when they cannot be put back.
    """
    then = next((each["data"][RECEIPT_KEYS] for each in backed_up.values() if RECEIPT_KEYS in each["data"]), None)
    found = {}
    for name in filter(None, map(receipts_secret, services)) if then else ():
        path = cluster.at(f"secrets/{name}")
        there = cluster.find(path)
        if there is None:
            raise Stop(Exit.CANNOT, f"The Secret {name} cannot be read in the namespace {cluster.namespace}.")
        now = (there.get("data") or {}).get(RECEIPT_KEYS, "")
        words = [word for text in (str(then), now) for word in base64.b64decode(text).decode().split()]
        wanted = base64.b64encode(" ".join(dict.fromkeys(words)).encode()).decode()
        if wanted != now:
            _refuse_immutable(name, there, wanted)
            found[path] = {RECEIPT_KEYS: wanted}
    return found


def _refuse_immutable(name: str, there: Mapping[str, Any], change: object) -> None:
    if change and there.get("immutable"):
        # Deleted and made anew it would be read as it was: nodes remember an immutable Secret by its name.
        raise Stop(
            Exit.CANNOT,
            f"The Secret {name} is immutable, so the keys of the backup cannot be put into it: end the lab (helm uninstall), "
            "delete the Secret, install with it mutable or with existingSecret, and restore again.",
        )


def put_secrets(cluster: Cluster, own: str, change: Mapping[str, Any], backed_up: Mapping[str, Any]) -> None:
    """Put the lab's own keys back in one step, and Secrets of the site that are gone. Raises `Stop`."""
    if change:
        cluster.patch(own, {"data": change})
    for name, kept in backed_up.items():
        path = cluster.at(f"secrets/{name}")
        if {OWN_KEY, RECEIPT_KEYS} & set(kept["data"]) or cluster.find(path) is not None:
            continue
        metadata = {"name": name, "labels": kept.get("labels") or {}, "annotations": kept.get("annotations") or {}}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": kept["data"]}
        try:
            cluster.create(cluster.at("secrets"), secret | {"immutable": kept.get("immutable", False)})
        except RefusedError as error:
            raise Stop(Exit.FELL_OVER, f"The Secret {name} was not put back: {error.message}") from None


def _put_hub(cluster: Cluster, hub: Mapping[str, Any], backup: Backup) -> None:
    """The hub's file onto its volume, and the lab database to the step that this lab expects."""
    pod = hub["spec"]["template"]["spec"]
    container = pod["containers"][0]
    mine = ("KIRZL_LAB_DATABASE_PASSWORD", "KIRZL_LAB_DATABASE_URL")
    work = {
        "image": container["image"],
        "imagePullPolicy": container["imagePullPolicy"],
        "env": [each for each in container["env"] if each["name"] in mine],
        "volumeMounts": [each for each in container["volumeMounts"] if each["name"] in {"data", "tmp"}],
    }
    spec = placement_of(pod) | {"volumes": [each for each in pod["volumes"] if each["name"] in {"data", "tmp"}]}
    with short_lived(cluster, "restore", work, spec, component="prepare") as name:
        execute(cluster, name, "work", ["python", "-c", _PUT, str(backup.size(HUB))], given=backup.chunks(HUB))
        execute(cluster, name, "work", ["python", "-P", "-c", _MIGRATE])
