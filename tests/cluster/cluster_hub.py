"""A JupyterHub configuration with nothing of the lab but its cluster spawner: what a test asks for is what starts."""

import os
from collections.abc import Mapping
from typing import Any

from jupyterhub.proxy import Proxy

from kirzl_lab.catalog.models import Flavour, NetworkReach, Role, Size, Text
from kirzl_lab.spawning.choice import Choice
from kirzl_lab.spawning.cluster import ClusterSpawner

c: Any = get_config()  # type: ignore[name-defined]  # noqa: F821 - JupyterHub provides it

GPU = Flavour(resource="nvidia.com/mig-1g.10gb", share="mig", memory_gib=10, watts=100)


class TestSpawner(ClusterSpawner):
    async def decide(self) -> Choice:
        options = self.user_options
        return Choice(
            hub_name=self.user.name,
            server_name=self.name,
            space=options.get("space", "ml-101"),
            title=Text(de="Maschinelles {Lernen} $(HOME)", en="Machine {learning} $(HOME)"),
            kind="course",
            purpose=options.get("purpose", "work"),
            role=Role(options.get("role", "student")),
            size_name="small",
            size=Size(
                title=Text(de="Klein", en="Small"),
                cpus=max(1, options.get("guaranteed_cpus", 1)),
                memory_gib=options.get("memory_gib", 1.0),
                gpu="gpu" if options.get("gpu") else None,
                guaranteed_cpus=options.get("guaranteed_cpus", 0.01),
                guaranteed_memory_gib=0.02,
            ),
            flavour=GPU if options.get("gpu") else None,
            institution="uni",
            image=options.get("image", "notebook"),
            storage_gib=1,
            network_reach=NetworkReach.NONE,
            idle_hours=2.0,
            timezone="Europe/Berlin",
            materials_source=None,
            cpu_sizes=("small",),
        )


class NoProxy(Proxy):
    """Nobody comes to these servers through a front door."""

    should_start = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._routes: dict[str, dict[str, Any]] = {}

    async def add_route(self, routespec: str, target: str, data: Mapping[str, Any]) -> None:
        if data.get("server_name") == "no-way":
            raise OSError("the proxy is away")
        self._routes[routespec] = {"routespec": routespec, "target": target, "data": data}

    async def delete_route(self, routespec: str) -> None:
        self._routes.pop(routespec, None)

    async def get_all_routes(self) -> dict[str, dict[str, Any]]:
        return self._routes


c.JupyterHub.spawner_class = TestSpawner
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.allow_named_servers = True
c.JupyterHub.hub_bind_url = f"http://0.0.0.0:{os.environ['TEST_HUB_PORT']}"
c.JupyterHub.hub_connect_url = f"http://{os.environ['TEST_NODE']}:{os.environ['TEST_HUB_PORT']}"
c.JupyterHub.db_url = f"sqlite:///{os.environ['TEST_DATA']}/hub.sqlite"
c.JupyterHub.cookie_secret_file = f"{os.environ['TEST_DATA']}/cookie"
c.JupyterHub.cleanup_servers = False
c.JupyterHub.services = [{"name": "test", "api_token": os.environ["TEST_TOKEN"]}]
c.JupyterHub.load_roles = [
    {"name": "test", "scopes": ["admin:users", "admin:servers", "access:servers"], "services": ["test"]}
]
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
c.JupyterHub.log_level = "INFO"
c.Spawner.start_timeout = int(os.environ.get("TEST_START_TIMEOUT", "90"))
c.Spawner.http_timeout = 10
c.Spawner.consecutive_failure_limit = 3
