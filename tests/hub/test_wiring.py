"""The configuration that JupyterHub gets: on a laptop, in a cluster, and inside another chart's."""

import logging
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from jupyterhub.app import JupyterHub
from jupyterhub.orm import check_db_revision
from kubespawner import KubeSpawner
from sqlalchemy import create_engine
from traitlets.config import Config

from kirzl_lab.hub.authenticator import HubAuthenticator
from kirzl_lab.hub.lab import the_lab
from kirzl_lab.hub.spawner import LabServer, LaptopHubSpawner
from kirzl_lab.hub.wiring import HUB_TEMPLATES, configure, configure_lab
from kirzl_lab.look import TEMPLATES
from kirzl_lab.spawning.site import VARIABLE, ClusterSite

ROOT = Path(__file__).parents[2]
SECRETS = {
    "CONFIGPROXY_AUTH_TOKEN": "a" * 64,
    "KIRZL_LAB_SERVICE_TOKEN": "b" * 64,
    "KIRZL_LAB_COOKIE_SECRET": "c" * 64,
    "KIRZL_LAB_METRICS_TOKEN": "d" * 64,
    "KIRZL_LAB_UAS_SECRET": "of a demo",
}
SITE = ClusterSite(
    namespace="some-lab",
    release="lab",
    images={"notebook": "registry.example/notebook:1"},
    hub_url="http://hub:8081",
    service_url="http://service:8080",
    proxy_api_url="http://proxy-api:8001",
    extra_routes={"institutions.lab.localhost/": "http://demo-institutions:9400"},
)


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a process has once: its lab, and how it logs."""
    monkeypatch.setattr(logging.getLogger("JupyterHub"), "handlers", [])
    the_lab.cache_clear()
    yield
    the_lab.cache_clear()
    JupyterHub.clear_instance()
    logging.captureWarnings(False)


@pytest.fixture
def laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """What `kirzl-lab up` tells the hub."""
    courses = tmp_path / "courses"
    courses.mkdir()
    environment = {
        **SECRETS,
        "KIRZL_LAB_HUB_CONFIG": str(ROOT / "hub_config"),
        "KIRZL_LAB_COURSES": str(courses),
        "KIRZL_LAB_DATA": str(tmp_path),
        "KIRZL_LAB_DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/lab.sqlite",
        "KIRZL_LAB_PUBLIC_URL": "http://localhost:8000",
        "KIRZL_LAB_DEMO_URL": "http://localhost:9400",
        "KIRZL_LAB_SERVICE_URL": "http://127.0.0.1:8002",
        "KIRZL_LAB_PROXY_API_URL": "http://127.0.0.1:8001",
        "KIRZL_LAB_HUB_PORT": "8081",
        "KIRZL_LAB_COOKIE_SECRET_FILE": str(tmp_path / "cookie_secret"),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment


@pytest.fixture
def cluster(laptop: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """What the chart tells the hub."""
    file = tmp_path / "cluster.json"
    file.write_text(SITE.model_dump_json(), encoding="utf-8")
    told = {
        VARIABLE: str(file),
        "KIRZL_LAB_PUBLIC_URL": "http://lab.localhost:8000",
        "KIRZL_LAB_DEMO_URL": "http://institutions.lab.localhost:8000",
    }
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    of_laptops = {"KIRZL_LAB_SERVICE_URL", "KIRZL_LAB_HUB_PORT", "KIRZL_LAB_COOKIE_SECRET_FILE"}
    return {name: value for name, value in laptop.items() if name not in of_laptops} | told


def configured(environment: Mapping[str, str]) -> Config:
    """The configuration of a hub of its own."""
    c = Config()
    configure(c, environment)
    return c


def hub_of(c: Config) -> JupyterHub:
    """A JupyterHub that has taken the configuration; traitlets refuse what is no value of theirs."""
    JupyterHub.clear_instance()
    return JupyterHub(config=c)


def test_a_laptop_is_on_loopback_and_ends_its_servers(laptop: Mapping[str, str], tmp_path: Path) -> None:
    hub = hub_of(configured(laptop))
    assert hub.spawner_class is LaptopHubSpawner
    assert hub.bind_url == "http://localhost:8000"
    assert hub.hub_bind_url == "http://127.0.0.1:8081"
    assert hub.cookie_secret_file == str(tmp_path / "cookie_secret")
    assert hub.db_url == f"sqlite:///{tmp_path}/hub.sqlite"
    assert hub.cleanup_servers is True
    assert hub.subdomain_host == ""


def test_a_cluster_has_the_charts_addresses(cluster: Mapping[str, str]) -> None:
    c = configured(cluster)
    hub = hub_of(c)
    assert hub.bind_url == "http://lab.localhost:8000"
    assert hub.hub_bind_url == "http://0.0.0.0:8081"
    assert hub.hub_connect_url == SITE.hub_url
    assert c.ConfigurableHTTPProxy.api_url == SITE.proxy_api_url
    assert c.ConfigurableHTTPProxy.should_start is False
    assert c.Proxy.extra_routes == SITE.extra_routes
    assert [service["url"] for service in hub.services if service["name"] == "lab"] == [SITE.service_url]
    assert hub.cookie_secret == bytes.fromhex("c" * 64)


def test_servers_of_a_cluster_live_on_without_their_hub(cluster: Mapping[str, str]) -> None:
    c = configured(cluster)
    hub = hub_of(c)
    assert hub.cleanup_servers is False
    assert hub.cleanup_proxy is False
    assert issubclass(hub.spawner_class, LabServer) and issubclass(hub.spawner_class, KubeSpawner)
    assert c.KubeSpawner.namespace == "some-lab"
    # However many servers fail: the hub stays, and turns nobody away who waits.
    assert c.Spawner.consecutive_failure_limit == 0
    assert hub.concurrent_spawn_limit == 0


def test_each_person_has_an_origin_and_the_lab_service_has_the_hubs(cluster: Mapping[str, str]) -> None:
    hub = hub_of(configured(cluster))
    assert hub.subdomain_host == "http://lab.localhost:8000"
    assert hub.domain == "lab.localhost"
    host = hub.subdomain_hook
    assert host("lab", hub.domain, "service") == "lab.localhost"
    assert host("r2x3xgg7z", hub.domain, "user") == "r2x3xgg7z.lab.localhost"
    # A person who is called like the service, and other services, are no exception.
    assert host("lab", hub.domain, "user") != "lab.localhost"
    assert host("metrics", hub.domain, "service") != "lab.localhost"


@pytest.mark.parametrize("where", ["laptop", "cluster"])
def test_what_makes_it_the_lab_is_everywhere(where: str, request: pytest.FixtureRequest) -> None:
    environment = request.getfixturevalue(where)
    c = configured(environment)
    hub = hub_of(c)
    assert hub.authenticator_class is HubAuthenticator
    assert c.Authenticator.enable_auth_state is True
    assert urlsplit(hub.public_url).netloc == urlsplit(environment["KIRZL_LAB_PUBLIC_URL"]).netloc
    assert hub.allow_named_servers is True
    assert hub.redirect_to_server is False
    assert hub.template_paths[:2] == [str(HUB_TEMPLATES), str(TEMPLATES)]
    assert {service["name"] for service in hub.services} == {"lab", "metrics"}
    scopes = {role["name"]: set(role["scopes"]) for role in hub.load_roles}
    assert scopes["lab-service"] == {"list:users", "read:servers", "delete:servers"}
    assert scopes["metrics"] == {"read:metrics"}
    # The server's token is good for the lab service: in both roles, or JupyterHub drops it.
    assert "access:services!service=lab" in scopes["user"] & scopes["server"]


@pytest.mark.parametrize("where", ["laptop", "cluster"])
def test_the_hubs_own_database_is_in_wal_mode(where: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    hub = hub_of(configured(request.getfixturevalue(where)))
    engine = create_engine(hub.db_url, **hub.db_kwargs)
    check_db_revision(engine)  # JupyterHub's own first touch
    with sqlite3.connect(tmp_path / "hub.sqlite") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    engine.dispose()


def test_the_hubs_own_database_may_be_postgresql(cluster: Mapping[str, str]) -> None:
    address = "postgresql+psycopg://hub:secret@db.uni.example:5432/hub"
    hub = hub_of(configured({**cluster, "KIRZL_LAB_HUB_DATABASE_URL": address}))
    assert hub.db_url == address
    assert hub.db_kwargs == {}  # nothing of SQLite


def of_z2jh() -> Config:
    """What the configuration of Zero to JupyterHub has set when it comes to a site's own lines."""
    c = Config()
    c.JupyterHub.update(
        spawner_class="kubespawner.KubeSpawner",
        authenticator_class="dummy",
        db_url="sqlite:////srv/jupyterhub/jupyterhub.sqlite",
        hub_bind_url="http://:8081",
        hub_connect_url="http://hub:8081",
        cleanup_servers=False,
        last_activity_interval=60,
        concurrent_spawn_limit=64,
        tornado_settings={"slow_spawn_timeout": 0},
        template_paths=["/srv/templates"],
        services=[{"name": "site", "api_token": "e" * 64}],
        load_roles=[{"name": "site", "services": ["site"], "scopes": ["list:users"]}],
    )
    c.ConfigurableHTTPProxy.api_url = "http://proxy-api:8001"
    c.Spawner.consecutive_failure_limit = 5
    c.KubeSpawner.namespace = "default"
    return c


def test_servers_run_where_the_site_says(cluster: Mapping[str, str]) -> None:
    taint = {"key": "pool", "operator": "Equal", "value": "people", "effect": "NoSchedule"}
    site = SITE.model_copy(update={"server_node_selector": {"pool": "people"}, "server_priority_class": "people"})
    site = ClusterSite.model_validate(site.model_dump() | {"server_tolerations": [taint]})
    Path(cluster[VARIABLE]).write_text(site.model_dump_json())
    c = of_z2jh()
    c.KubeSpawner.priority_class_name = "theirs"
    configure_lab(c, cluster)
    assert c.KubeSpawner.node_selector == {"pool": "people"}
    assert c.KubeSpawner.tolerations == [taint]
    assert c.KubeSpawner.priority_class_name == "people"
    assert {"node_selector", "tolerations", "priority_class_name"} <= set(KubeSpawner.class_trait_names(config=True))


def test_where_servers_run_is_the_other_charts_unless_the_site_says(cluster: Mapping[str, str]) -> None:
    c = of_z2jh()
    c.KubeSpawner.tolerations = [{"key": "theirs"}]
    configure_lab(c, cluster)
    assert c.KubeSpawner.tolerations == [{"key": "theirs"}]
    assert "node_selector" not in c.KubeSpawner
    assert "priority_class_name" not in c.KubeSpawner


def test_another_charts_configuration_becomes_the_lab_and_keeps_what_is_its_own(cluster: Mapping[str, str]) -> None:
    c = of_z2jh()
    environment = {name: value for name, value in cluster.items() if "PROXY" not in name and "COOKIE" not in name}
    configure_lab(c, environment)
    hub = hub_of(c)
    assert hub.authenticator_class is HubAuthenticator
    assert issubclass(hub.spawner_class, LabServer)
    assert hub.subdomain_host == "http://lab.localhost:8000"
    assert c.Spawner.consecutive_failure_limit == 0
    assert hub.concurrent_spawn_limit == 0
    assert c.KubeSpawner.namespace == "some-lab"
    # Theirs.
    assert hub.db_url == "sqlite:////srv/jupyterhub/jupyterhub.sqlite"
    assert (hub.hub_bind_url, hub.hub_connect_url) == ("http://:8081", "http://hub:8081")
    assert hub.last_activity_interval == 60
    assert c.ConfigurableHTTPProxy == Config(api_url="http://proxy-api:8001")
    assert [service["name"] for service in hub.services] == ["site", "lab", "metrics"]
    assert [role["name"] for role in hub.load_roles] == ["site", "user", "server", "lab-service", "metrics"]
    assert hub.template_paths == [str(HUB_TEMPLATES), str(TEMPLATES), "/srv/templates"]
    # Whatever the file is: in WAL mode.
    assert "connect_args" in hub.db_kwargs
