"""`kirzl-lab restore`: a lab on a cluster as it was when a backup was made.

Nothing is touched before the whole file was checked, and what it needs is there. Then the hub and the lab service end,
databases and secrets are put back, and both start again. Ended half-way, it is run again: every step replaces all of
what it puts back, and the lab does not start before the last.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from alembic.script import ScriptDirectory

from kirzl_lab.cli.cluster import install
from kirzl_lab.cli.cluster.archive import HUB, LAB, SECRETS, Backup, Manifest
from kirzl_lab.cli.cluster.backup import HUB_DATABASE, OWN_KEY, hub_of, own_secret
from kirzl_lab.cli.cluster.connection import Cluster, RefusedError, Thing
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
BEFORE = "-before-restore"
"""End of the name of the copy of the lab's own Secret, for the moment in which that is replaced."""
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
    with database_of(cluster, hub) as database:
        try:
            refuse_newer(backup.manifest.step, database.step())
            _stop(cluster, progress)
            _put_secrets(cluster, hub, json.loads(b"".join(backup.chunks(SECRETS))))
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
    return backup.manifest


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


def _put_secrets(cluster: Cluster, hub: Mapping[str, Any], backed_up: Mapping[str, Any]) -> None:
    """Put the lab's own keys back, and Secrets of the site that are gone. Raises `Stop`."""
    for name, kept in backed_up.items():
        if OWN_KEY in kept["data"]:
            _put_own(cluster, own_secret(hub), kept)  # it may have another name by now
        elif cluster.find(cluster.at(f"secrets/{name}")) is None:
            _create(cluster, _secret(name, kept, None))


def _put_own(cluster: Cluster, own: str, kept: Mapping[str, Any]) -> None:
    """Put the lab's own keys back. Raises `Stop`.

    An immutable Secret must be deleted first. It alone may hold the password of the database that is there now, so a
    copy of it lies beside until the new one is there.
    """
    copy = f"{own}{BEFORE}"
    there = cluster.find(cluster.at(f"secrets/{own}"))
    if source := there or cluster.find(cluster.at(f"secrets/{copy}")):
        wanted = _secret(own, kept, source)
    else:
        raise Stop(Exit.CANNOT, f"The Secret {own} cannot be read in the namespace {cluster.namespace}.")
    changed = there is None or there["data"] != wanted["data"]
    if there and changed:
        cluster.delete(cluster.at(f"secrets/{copy}"))
        _create(cluster, _secret(copy, there, there))
        cluster.delete(cluster.at(f"secrets/{own}"))
    if changed:
        _create(cluster, wanted)
    cluster.delete(cluster.at(f"secrets/{copy}"))


def _secret(name: str, kept: Mapping[str, Any], there: Mapping[str, Any] | None) -> Thing:
    data = dict(kept["data"])
    for key in HERE & set((there or {}).get("data") or {}):
        data[key] = (there or {})["data"][key]
    about = there["metadata"] if there else kept
    metadata = {"name": name, "labels": about.get("labels") or {}, "annotations": about.get("annotations") or {}}
    immutable = (there or kept).get("immutable", False)
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data, "immutable": immutable}


def _create(cluster: Cluster, wanted: Thing) -> None:
    try:
        cluster.create(cluster.at("secrets"), wanted)
    except RefusedError as error:
        raise Stop(
            Exit.FELL_OVER, f"The Secret {wanted['metadata']['name']} was not put back: {error.message}"
        ) from None


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
