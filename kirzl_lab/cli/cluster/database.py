"""The lab database of a lab on a cluster, through PostgreSQL's own programs: in the chart's pod, or in a short-lived one."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kirzl_lab.cli.cluster.connection import Cluster
from kirzl_lab.cli.cluster.execute import CommandFailedError, Sink, execute
from kirzl_lab.cli.cluster.helm import Helm, release_values
from kirzl_lab.cli.cluster.pods import ready_pod, short_lived

_OWN = 'export PGPASSWORD="$(cat /run/secrets/postgres/KIRZL_LAB_DATABASE_PASSWORD)"; DB="host=127.0.0.1 user=postgres dbname=lab"; '
_EXTERNAL = 'DB="postgresql:${KIRZL_LAB_DATABASE_URL#postgresql+psycopg:}"; '
_DUMP = 'exec pg_dump --dbname="$DB" --no-owner --no-privileges --encoding=UTF8'
_STEP = (
    'exec psql --dbname="$DB" --no-psqlrc --tuples-only --no-align --command="SELECT version_num FROM alembic_version"'
)
DROP_GRADEBOOKS = (
    "DO 'DECLARE one name; BEGIN FOR one IN SELECT nspname FROM pg_namespace WHERE starts_with(nspname, ''kirzl_'') "
    "LOOP EXECUTE format(''DROP SCHEMA %I CASCADE'', one); END LOOP; END'"
)
"""The gradebooks of courses are schemas of their own: see `kirzl_lab.courses.gradebook_roles`."""
_RESTORE = (
    'exec psql --dbname="$DB" --no-psqlrc --quiet --output=/dev/null --single-transaction --set=ON_ERROR_STOP=1 '
    '--command="SET client_min_messages = warning" '
    f'--command="{DROP_GRADEBOOKS}" '
    '--command="DROP SCHEMA public CASCADE" --command="CREATE SCHEMA public" --file=-'
)


@dataclass(frozen=True)
class Database:
    """Where PostgreSQL's programs reach the lab database."""

    cluster: Cluster
    pod: str
    container: str
    prelude: str

    def step(self) -> str:
        """The step of its tables; empty when nothing was ever migrated. Raises `CommandFailedError`."""
        try:
            return self._run(_STEP).decode().strip()
        except CommandFailedError as error:
            if "alembic_version" in str(error):
                return ""
            raise

    def dump(self, to: Sink) -> None:
        """All of it as SQL, as it is at one moment. Raises `CommandFailedError`."""
        self._run(_DUMP, to=to)

    def restore(self, sql: Iterable[bytes]) -> None:
        """Replace all of it by a dump, in one transaction. Raises `CommandFailedError`; then it is as it was."""
        self._run(_RESTORE, given=sql)

    def _run(self, script: str, *, given: Iterable[bytes] | None = None, to: Sink | None = None) -> bytes:
        command = ["sh", "-c", self.prelude + script]
        return execute(self.cluster, self.pod, self.container, command, given=given, to=to)


@contextmanager
def database_of(cluster: Cluster, hub: Mapping[str, Any]) -> Iterator[Database]:
    """The lab database of the lab whose Deployment `hub` is given. Raises `Stop`."""
    if cluster.find(cluster.at("statefulsets/postgres", "apps/v1")):
        yield Database(cluster, ready_pod(cluster, "postgres"), "postgres", _OWN)
        return
    pod = hub["spec"]["template"]["spec"]
    hub_image = next(each["image"] for each in pod["containers"])
    container = {
        "image": postgres_image(release_values(Helm(cluster))["images"], hub_image),
        "imagePullPolicy": pod["containers"][0]["imagePullPolicy"],
        "env": [each for each in pod["containers"][0]["env"] if each["name"] == "KIRZL_LAB_DATABASE_URL"],
    }
    # Network policies open the way to the database for what prepares it.
    with short_lived(cluster, "database", container, placement_of(pod), component="prepare") as name:
        yield Database(cluster, name, "work", _EXTERNAL)


def postgres_image(images: Mapping[str, Any], hub_image: str) -> str:
    """What the chart calls the image `postgres`, from its values `images`; the version, where they say none, as the hub's."""
    tag = images["tag"] or hub_image.rpartition(":")[2]
    return str(images["references"].get("postgres") or f"{str(images['registry']).rstrip('/')}/postgres:{tag}")


def placement_of(pod: Mapping[str, Any]) -> dict[str, Any]:
    """What decides where a pod runs and how its images are pulled, from another pod's specification."""
    wanted = ("nodeSelector", "tolerations", "priorityClassName", "imagePullSecrets")
    return {key: pod[key] for key in wanted if pod.get(key)}
