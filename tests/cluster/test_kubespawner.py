"""A stock KubeSpawner, without a hub, starts JupyterLab from the notebook image on the cluster."""

import json
from typing import Any
from unittest.mock import Mock

import pytest
from jupyterhub.objects import Hub
from kubespawner import KubeSpawner
from traitlets.config import Config

from images import build, plan
from tests.cluster.space import Space, eventually
from tools.onenode import images, paths

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
PORT = 8888


def somebody() -> Mock:
    """What KubeSpawner asks of a JupyterHub user."""
    user = Mock(escaped_name="somebody", url="/user/somebody/")
    user.name = "somebody"  # which `Mock` takes for its own
    return user


def notebook() -> str:
    """The reference of the notebook image, loaded into the cluster."""
    image = build.described(plan.BY_NAME["notebook"], plan.Choices())
    images.load(image.archive)
    return image.reference


async def test_a_stock_pod_answers_on_its_port(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    # KubeSpawner reads KUBECONFIG through this constant, which is made when the client is imported.
    monkeypatch.setattr("kubernetes_asyncio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(paths.KUBECONFIG))
    config = Config()
    config.KubeSpawner.namespace = space.name
    config.KubeSpawner.image = notebook()
    config.KubeSpawner.image_pull_policy = "Never"
    config.KubeSpawner.port = PORT
    config.KubeSpawner.cmd = ["jupyter", "lab"]
    config.KubeSpawner.args = ["--ip=0.0.0.0", f"--port={PORT}", "--no-browser", "--IdentityProvider.token="]
    config.KubeSpawner.extra_resource_limits = {"nvidia.com/gpu": "1"}
    config.KubeSpawner.start_timeout = 120
    spawner = KubeSpawner(hub=Hub(), user=somebody(), config=config, _mock=True)
    spawner.api_token = spawner.oauth_client_id = "unused-outside-a-hub"
    address: Any = await spawner.start()
    assert str(PORT) in str(address)
    space.pod("looker", "serve", ":8080")
    space.ready("looker")
    pod = json.loads(space.kubectl("get", "pods", "--selector=component=singleuser-server", "--output=json"))["items"][
        0
    ]
    eventually(lambda: space.reaches("looker", f"{pod['status']['podIP']}:{PORT}"), "JupyterLab on its port")
    assert pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    await spawner.stop(now=True)
    eventually(
        lambda: not space.kubectl("get", "pods", "--selector=component=singleuser-server", "--no-headers"), "its end"
    )
