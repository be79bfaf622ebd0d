"""What a restore refuses before it touches anything, and which secrets it puts back."""

import base64
from typing import Any

import pytest
from alembic.script import ScriptDirectory

from kirzl_lab.cli.cluster.backup import own_secret, receipts_secret, secret_names, secrets_of
from kirzl_lab.cli.cluster.connection import RefusedError
from kirzl_lab.cli.cluster.restore import own_keys, put_secrets, receipt_keys, refuse_newer
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

    def patch(self, path: str, change: dict[str, Any]) -> None:
        data = self.secrets[path.removeprefix("secrets/")]["data"]
        for key, value in change["data"].items():
            data.pop(key, None) if value is None else data.update({key: value})

    def create(self, path: str, thing: dict[str, Any]) -> dict[str, Any]:
        self.secrets[thing["metadata"]["name"]] = thing
        return thing


def secret(owner: str = "now", **data: str) -> dict[str, Any]:
    coded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"metadata": {"labels": {"of": owner}, "annotations": {}}, "data": coded}


def kept(**data: str) -> dict[str, Any]:
    made = secret("then", **data)
    return {"data": made["data"], "labels": {"of": "then"}, "annotations": {}}


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


def put(cluster: Any, the_hub: dict[str, Any], backed_up: dict[str, Any]) -> None:
    own, change = own_keys(cluster, the_hub, backed_up)
    put_secrets(cluster, own, change, backed_up)


def test_own_keys_come_back_but_the_database_keeps_its_password() -> None:
    there = secret(JUPYTERHUB_CRYPT_KEY="new", KIRZL_LAB_DATABASE_PASSWORD="of this database", LATER="key")
    cluster: Any = FakeCluster(lab_secrets=there)
    backed_up = {"lab-secrets": kept(JUPYTERHUB_CRYPT_KEY="old", KIRZL_LAB_DATABASE_PASSWORD="of another")}
    put(cluster, hub(), backed_up)
    now = cluster.secrets["lab-secrets"]
    assert now["data"] == secret(JUPYTERHUB_CRYPT_KEY="old", KIRZL_LAB_DATABASE_PASSWORD="of this database")["data"]
    assert now["metadata"]["labels"] == {"of": "now"}  # Helm's, of this installation
    assert list(cluster.secrets) == ["lab-secrets"]
    assert own_keys(cluster, hub(), backed_up) == ("secrets/lab-secrets", {})  # a second time there is nothing to do


def test_own_keys_that_cannot_be_changed_are_told_before_anything_is() -> None:
    there = secret(JUPYTERHUB_CRYPT_KEY="new") | {"immutable": True}
    cluster: Any = FakeCluster(lab_secrets=there)
    assert own_keys(cluster, hub(), {"lab-secrets": kept(JUPYTERHUB_CRYPT_KEY="new")})[1] == {}
    with pytest.raises(Stop, match="immutable"):
        own_keys(cluster, hub(), {"lab-secrets": kept(JUPYTERHUB_CRYPT_KEY="old")})


def test_own_keys_that_nobody_can_read_are_told() -> None:
    cluster: Any = FakeCluster()
    with pytest.raises(Stop, match="The Secret lab-secrets cannot be read"):
        put(cluster, hub(), {"lab-secrets": kept(JUPYTERHUB_CRYPT_KEY="old")})


def test_own_keys_come_back_under_the_name_that_they_have_now() -> None:
    cluster: Any = FakeCluster(mine=secret(JUPYTERHUB_CRYPT_KEY="new"))
    put(cluster, hub("mine"), {"lab-secrets": kept(JUPYTERHUB_CRYPT_KEY="old")})
    assert cluster.secrets["mine"]["data"] == kept(JUPYTERHUB_CRYPT_KEY="old")["data"]
    assert "lab-secrets" not in cluster.secrets


def test_secrets_of_the_site_stay_unless_they_are_gone() -> None:
    cluster: Any = FakeCluster(lab_secrets=secret(JUPYTERHUB_CRYPT_KEY="k"), clients=secret(KIRZL_LAB_UNI_SECRET="new"))
    backed_up = {
        "lab-secrets": kept(JUPYTERHUB_CRYPT_KEY="k"),
        "clients": kept(KIRZL_LAB_UNI_SECRET="old"),
        "database": kept(KIRZL_LAB_DATABASE_URL="postgresql+psycopg://db"),
    }
    put(cluster, hub(), backed_up)
    assert cluster.secrets["clients"]["metadata"]["labels"] == {"of": "now"}
    assert cluster.secrets["database"]["metadata"]["labels"] == {"of": "then"}


# -- what receipts are signed with ----------------------------------------------------------------------------------


def service(of: str = "lab-receipts") -> dict[str, Any]:
    variable = {"name": "KIRZL_LAB_RECEIPT_KEYS", "valueFrom": {"secretKeyRef": {"name": of, "key": "x"}}}
    return {"spec": {"template": {"spec": {"containers": [{"env": [{"name": "PLAIN", "value": "1"}, variable]}]}}}}


def test_a_backup_has_what_receipts_are_signed_with() -> None:
    there = {name: secret(KEY=name) for name in ("clients", "database", "lab_secrets", "lab_receipts")}
    cluster: Any = FakeCluster(**there)
    assert sorted(secrets_of(cluster, hub(), service())) == ["clients", "database", "lab-receipts", "lab-secrets"]
    assert receipts_secret(service()) == "lab-receipts"
    assert receipts_secret(hub()) is None


@pytest.mark.parametrize(
    ("then", "now", "after"),
    [("old", "new", "old new"), ("old", "old", None), ("b a", "c b", "b a c"), ("old", "old new", None)],
)
def test_receipts_of_then_and_of_now_stay_good(then: str, now: str, after: str | None) -> None:
    cluster: Any = FakeCluster(lab_receipts=secret(KIRZL_LAB_RECEIPT_KEYS=now))
    backed_up = {"lab-receipts": kept(KIRZL_LAB_RECEIPT_KEYS=then)}
    expected = {"secrets/lab-receipts": secret(KIRZL_LAB_RECEIPT_KEYS=after)["data"]} if after else {}
    assert receipt_keys(cluster, [service()], backed_up) == expected


def test_keys_for_receipts_that_cannot_be_changed_are_told_before_anything_is() -> None:
    cluster: Any = FakeCluster(lab_receipts=secret(KIRZL_LAB_RECEIPT_KEYS="new") | {"immutable": True})
    with pytest.raises(Stop, match="lab-receipts is immutable"):
        receipt_keys(cluster, [service()], {"lab-receipts": kept(KIRZL_LAB_RECEIPT_KEYS="old")})


def test_a_backup_from_before_receipts_leaves_their_keys_alone() -> None:
    cluster: Any = FakeCluster(mine=secret(JUPYTERHUB_CRYPT_KEY="new", KIRZL_LAB_RECEIPT_KEYS="now"))
    backed_up = {"mine": kept(JUPYTERHUB_CRYPT_KEY="old")}
    assert receipt_keys(cluster, [service("mine")], backed_up) == {}
    put(cluster, hub("mine"), backed_up)
    expected = secret(JUPYTERHUB_CRYPT_KEY="old", KIRZL_LAB_RECEIPT_KEYS="now")["data"]
    assert cluster.secrets["mine"]["data"] == expected


def test_keys_for_receipts_come_back_into_the_secret_that_has_them_now() -> None:
    cluster: Any = FakeCluster(mine=secret(JUPYTERHUB_CRYPT_KEY="same", KIRZL_LAB_RECEIPT_KEYS="now"))
    backed_up = {"lab-secrets": kept(JUPYTERHUB_CRYPT_KEY="same"), "lab-receipts": kept(KIRZL_LAB_RECEIPT_KEYS="then")}
    changes = receipt_keys(cluster, [service("mine")], backed_up)
    assert changes == {"secrets/mine": secret(KIRZL_LAB_RECEIPT_KEYS="then now")["data"]}
    put(cluster, hub("mine"), backed_up)
    assert list(cluster.secrets) == ["mine"]
