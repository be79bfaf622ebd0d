"""A JupyterHub configuration with nothing of the lab but its laptop spawner: what a test asks for is what starts."""

import os
from pathlib import Path
from typing import Any

from kirzl_lab.catalog.models import NetworkReach, Role, Size, Text
from kirzl_lab.spawning.choice import Choice
from kirzl_lab.spawning.laptop import LaptopSpawner

c: Any = get_config()  # type: ignore[name-defined]  # noqa: F821 - JupyterHub provides it


class TestSpawner(LaptopSpawner):
    async def decide(self) -> Choice:
        options = self.user_options
        materials = options.get("materials")
        return Choice(
            hub_name=self.user.name,
            server_name=self.name,
            space="ml-101",
            title=Text(de="Maschinelles Lernen", en="Machine learning"),
            kind="course",
            purpose=options.get("purpose", "work"),
            role=Role(options.get("role", "student")),
            size_name="small",
            size=Size(
                title=Text(de="Klein", en="Small"),
                cpus=options.get("cpus", 1.0),
                memory_gib=options.get("memory_gib", 1.0),
            ),
            flavour=None,
            institution="uni",
            image="notebook",
            storage_gib=5,
            network_reach=NetworkReach.NONE,
            idle_hours=options.get("idle_hours", 2.0),
            timezone="Europe/Berlin",
            materials_source=Path(materials) if materials else None,
        )

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        # Stands for a server that cannot start.
        return super().user_env(env) | ({"JUPYTERHUB_SERVICE_URL": ""} if self.user_options.get("broken") else {})


c.JupyterHub.spawner_class = TestSpawner
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.allow_named_servers = True
c.JupyterHub.bind_url = f"http://127.0.0.1:{os.environ['TEST_PORT']}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{os.environ['TEST_HUB_PORT']}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{os.environ['TEST_PROXY_PORT']}"
c.ConfigurableHTTPProxy.command = os.environ["TEST_PROXY_COMMAND"].split()
c.JupyterHub.db_url = f"sqlite:///{os.environ['KIRZL_LAB_DATA']}/hub.sqlite"
c.JupyterHub.cookie_secret_file = f"{os.environ['KIRZL_LAB_DATA']}/cookie"
c.JupyterHub.services = [{"name": "test", "api_token": os.environ["TEST_TOKEN"]}]
c.JupyterHub.load_roles = [
    {"name": "test", "scopes": ["admin:users", "admin:servers", "access:servers"], "services": ["test"]}
]
c.JupyterHub.log_level = "INFO"
c.Spawner.start_timeout = 60
