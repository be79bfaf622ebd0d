"""What a restore refuses before it touches anything, and which secrets it puts back."""

import base64
from typing import Any

import pytest
from alembic.script import ScriptDirectory

from kirzl_lab.cli.cluster.backup import own_secret, secret_names
from kirzl_lab.cli.cluster.connection import RefusedError
from kirzl_lab.cli.cluster.restore import _put_secrets, refuse_newer
from kirzl_lab.cli.exits import Exit, Stop
from kirzl_lab.store.migrate import FOLDER

STEPS = [script.revision for script in ScriptDirectory(str(FOLDER)).walk_revisions()][::-1]


def refused(step: str, here: str) -> str:
    with pytest.raises(Stop) as stop:
        refuse_newer(step, here)
    assert stop.value.code in {Exit.NO, Exit.CANNOT}
    return stop.value.sentence


def test_older_tables_and_the_same_are_taken() -> None:
    refuse_newer(STEPS[0], STEPS[-1])
    refuse_newer(STEPS[-1], STEPS[-1])


def test_newer_tables_are_refused() -> None:
    assert "newer than this `kirzl-lab`" in refused("9999", STEPS[-1])
    assert "newer than this `kirzl-lab`" in refused(STEPS[0], "9999")
    assert "of a newer version of the lab" in refused("", STEPS[-1])
    assert "no tables yet" in refused(STEPS[0], "")


def test_a_newer_known_step_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Script:
        def __init__(self, revision: str) -> None:
            self.revision = revision

    monkeypatch.setattr(ScriptDirectory, "walk_revisions", lambda self: iter([Script("0002"), Script("0001")]))
    assert "at step 0002, this lab's at 0001" in refused("0002", "0001")
    refuse_newer("0001", "0002")


class FakeCluster:
    """Secrets, as the API server keeps them."""

    namespace = "kirzl-lab"

    def __init__(self, **secrets: dict[str, Any]) -> None:
        self.secrets = {name.replace("_", "-"): value for name, value in secrets.items()}

    def at(self, rest: str) -> str:
        return rest

    def find(self, path: str) -> dict[str, Any] | None:
        return self.secrets.get(path.removeprefix("secrets/"))

    def get(self, path: str) -> dict[str, Any]:
        found = self.find(path)
        if found is None:
            raise RefusedError(404, "not found")
        return found

    def delete(self, path: str) -> bool:
        return self.secrets.pop(path.removeprefix("secrets/"), None) is not None

    def create(self, path: str, thing: dict[str, Any]) -> dict[str, Any]:
        self.secrets[thing["metadata"]["name"]] = thing
        return thing


def secret(owner: str = "now", **data: str) -> dict[str, Any]:
    coded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"metadata": {"labels": {"of": owner}, "annotations": {}}, "data": coded, "immutable": True}


def kept(**data: str) -> dict[str, Any]:
    made = secret("then", **data)
    return {"data": made["data"], "immutable": True, "labels": {"of": "then"}, "annotations": {}}


def hub(own: str = "lab-secrets") -> dict[str, Any]:
    def variable(name: str, secret: str) -> dict[str, Any]:
        return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": name}}}

    container = {
        "env": [
            {"name": "PLAIN", "value": "1"},
            variable("JUPYTERHUB_CRYPT_KEY", own),
            variable("KIRZL_LAB_DATABASE_URL", "database"),
        ],
        "envFrom": [{"secretRef": {"name": "clients"}}],
    }
    return {"spec": {"template": {"spec": {"containers": [container]}}}}


def test_the_hub_says_which_secrets_there_are() -> None:
    assert secret_names(hub()) == ["clients", "database", "lab-secrets"]
    assert own_secret(hub("mine")) == "mine"


def test_own_keys_come_back_but_the_database_keeps_its_password() -> None:
    there = secret(JUPYTERHUB_CRYPT_KEY="new", KIRZL_LAB_DATABASE_PASSWORD="of this database")
    cluster: Any = FakeCluster(lab_secrets=there)
    backed_up = {"lab-secrets": kept(JUPYTERHUB_CRYPT_KEY="old", KIRZL_LAB_DATABASE_PASSWORD="of another")}
    _put_secrets(cluster, hub(), backed_up)
    now = cluster.secrets["lab-secrets"]
    assert now["data"] == secret(JUPYTERHUB_CRYPT_KEY="old", KIRZL_LAB_DATABASE_PASSWORD="of this database")["data"]
    assert now["metadata"]["labels"] == {"of": "now"}  # Helm's, of this installation
    assert now["immutable"]
    assert list(cluster.secrets) == ["lab-secrets"]
    _put_secrets(cluster, hub(), backed_up)
    assert cluster.secrets == {"lab-secrets": now}


def test_cut_off_at_any_place_it_is_run_again_and_the_password_is_not_lost() -> None:
    class CutOffError(Exception):
        """Nothing reaches the API server any more."""

    class CutOffCluster(FakeCluster):
        left = 0

        def step(self) -> None:
            if not self.left:
                raise CutOffError
            self.left -= 1

        def delete(self, path: str) -> bool:
            self.step()
            return super().delete(path)

        def create(self, path: str, thing: dict[str, Any]) -> dict[str, Any]:
            self.step()
            return super().create(path, thing)

    backed_up = {"lab-secrets": kept(JUPYTERHUB_CRYPT_KEY="old", KIRZL_LAB_DATABASE_PASSWORD="of another")}
    wanted = secret(JUPYTERHUB_CRYPT_KEY="old", KIRZL_LAB_DATABASE_PASSWORD="of this database")
    for steps in range(5):  # copy: delete, create; own: delete, create; copy: delete
        there = secret(JUPYTERHUB_CRYPT_KEY="new", KIRZL_LAB_DATABASE_PASSWORD="of this database")
        cluster: Any = CutOffCluster(lab_secrets=there)
        cluster.left = steps
        with pytest.raises(CutOffError):
            _put_secrets(cluster, hub(), backed_up)
        cluster.left = 9
        _put_secrets(cluster, hub(), backed_up)
        assert list(cluster.secrets) == ["lab-secrets"]
        now = cluster.secrets["lab-secrets"]
        assert (now["data"], now["metadata"]["labels"], now["immutable"]) == (wanted["data"], {"of": "now"}, True)


def test_own_keys_that_nobody_can_read_are_told() -> None:
    cluster: Any = FakeCluster()
    with pytest.raises(Stop, match="The Secret lab-secrets cannot be read"):
        _put_secrets(cluster, hub(), {"lab-secrets": kept(JUPYTERHUB_CRYPT_KEY="old")})


def test_own_keys_come_back_under_the_name_that_they_have_now() -> None:
    cluster: Any = FakeCluster(mine=secret(JUPYTERHUB_CRYPT_KEY="new"))
    _put_secrets(cluster, hub("mine"), {"lab-secrets": kept(JUPYTERHUB_CRYPT_KEY="old")})
    assert cluster.secrets["mine"]["data"] == kept(JUPYTERHUB_CRYPT_KEY="old")["data"]
    assert "lab-secrets" not in cluster.secrets


def test_secrets_of_the_site_stay_unless_they_are_gone() -> None:
    cluster: Any = FakeCluster(lab_secrets=secret(JUPYTERHUB_CRYPT_KEY="k"), clients=secret(KIRZL_LAB_UNI_SECRET="new"))
    backed_up = {
        "lab-secrets": kept(JUPYTERHUB_CRYPT_KEY="k"),
        "clients": kept(KIRZL_LAB_UNI_SECRET="old"),
        "database": kept(KIRZL_LAB_DATABASE_URL="postgresql+psycopg://db"),
    }
    _put_secrets(cluster, hub(), backed_up)
    assert cluster.secrets["clients"]["metadata"]["labels"] == {"of": "now"}
    assert cluster.secrets["database"]["metadata"]["labels"] == {"of": "then"}
