"""Every shape of a server in a cluster, and what the API server would be asked for, by the real KubeSpawner."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from jupyterhub import orm
from jupyterhub.objects import Hub
from kubernetes_asyncio.client import ApiClient

from kirzl_lab.catalog.models import STAFF, Flavour, NetworkReach, Role, Size, Text, Toleration
from kirzl_lab.spawning import pod
from kirzl_lab.spawning.choice import PURPOSES, Choice
from kirzl_lab.spawning.cluster import ClusterSpawner
from kirzl_lab.spawning.site import ClusterSite
from tests.spawning.samples import a_choice

SITE = ClusterSite(
    namespace="kirzl-lab",
    release="lab",
    images={"notebook": "registry.example/lab/notebook:1", "notebook-gpu": "registry.example/lab/notebook-gpu:1"},
    egress_proxy="http://egress:3128",
    hub_url="http://hub:8081",
    service_url="http://service:8080",
    proxy_api_url="http://proxy-api:8001",
)
OTHER_SITE = SITE.model_copy(
    update={
        "namespace": "teaching",
        "image_pull_policy": "Always",
        "image_pull_secrets": ("registry-login",),
        "home_storage_class": "fast",
        "shared_storage_class": "nfs",
    }
)
CPU = Size(title=Text(de="Klein", en="Small"), cpus=1, memory_gib=2, guaranteed_cpus=0.1, guaranteed_memory_gib=0.5)
SLICE_SIZE = Size(title=Text(de="Teil einer GPU", en="Slice of a GPU"), cpus=4, memory_gib=16, gpu="slice")
WHOLE_SIZE = Size(title=Text(de="Ganze GPU", en="Whole GPU"), cpus=8, memory_gib=64, gpu="whole")
SLICE = Flavour(resource="nvidia.com/mig-1g.10gb", share="mig", memory_gib=10, watts=100)
WHOLE = Flavour(
    resource="nvidia.com/gpu",
    share="whole",
    memory_gib=80,
    watts=700,
    node_selector={"gpu.example/model": "h100"},
    tolerations=(
        Toleration(key="nvidia.com/gpu", effect="NoSchedule"),
        Toleration(key="gpu.example/for", operator="Equal", value="teaching"),
    ),
    runtime_class="nvidia",
)


def shape(**changes: Any) -> Choice:
    """A choice of a student of a course on a CPU, but for these changes."""
    return a_choice(**({"hub_name": "bcd234fgh", "size": CPU} | changes))


SLICED = {"size_name": "gpu-slice", "size": SLICE_SIZE, "flavour": SLICE, "image": "notebook-gpu"}
WHOLLY = {"size_name": "gpu-full", "size": WHOLE_SIZE, "flavour": WHOLE, "image": "notebook-gpu"}
SANDBOX = {"kind": "sandbox", "space": "solar-startup", "server_name": "solar-startup", "institution": "startups"}
RESEARCH = {"kind": "research", "space": "climate", "server_name": "climate", "institution": "uas"}

SHAPES: Mapping[str, tuple[Choice, ClusterSite]] = {
    "course-student-cpu": (shape(), SITE),
    "course-student-gpu-slice": (shape(**SLICED), SITE),
    "course-student-gpu-full": (shape(**WHOLLY), SITE),
    "course-student-package-mirrors": (shape(network_reach=NetworkReach.PACKAGE_MIRRORS), SITE),
    "course-student-internet": (shape(network_reach=NetworkReach.INTERNET), SITE),
    "course-student-other-site": (shape(), OTHER_SITE),
    "course-assistant-cpu": (shape(role=Role.ASSISTANT), SITE),
    "course-instructor-gpu-slice": (shape(role=Role.INSTRUCTOR, **SLICED), SITE),
    "course-instructor-other-site": (shape(role=Role.INSTRUCTOR), OTHER_SITE),
    "course-instructor-preview": (shape(role=Role.INSTRUCTOR, purpose="preview", server_name="ml-101-view"), SITE),
    "course-own-image": (shape(image="registry.example/physics/notebook:3"), SITE),
    "sandbox-member-internet": (shape(role=Role.MEMBER, network_reach=NetworkReach.INTERNET, **SANDBOX), SITE),
    "sandbox-owner-gpu-slice": (shape(role=Role.OWNER, **SANDBOX, **SLICED), SITE),
    "research-member-package-mirrors": (
        shape(role=Role.MEMBER, network_reach=NetworkReach.PACKAGE_MIRRORS, **RESEARCH),
        SITE,
    ),
    "research-owner-gpu-full": (shape(role=Role.OWNER, **RESEARCH, **WHOLLY), SITE),
}

KINDS: Mapping[str, tuple[Mapping[str, Any], tuple[Role, ...]]] = {
    "course": ({}, (Role.STUDENT, Role.ASSISTANT, Role.INSTRUCTOR)),
    "sandbox": (SANDBOX, (Role.MEMBER, Role.OWNER)),
    "research": (RESEARCH, (Role.MEMBER, Role.OWNER)),
}
OF_SIZES: Mapping[str, Mapping[str, Any]] = {"cpu": {}, "gpu-slice": SLICED, "gpu-full": WHOLLY}


def all_of(kind: str) -> dict[str, Choice]:
    """Everybody who may have a server in a space of that kind, for every purpose, in every size; the smallest first."""
    of_kind, roles = KINDS[kind]
    return {
        f"{role}-{purpose}-{size}": shape(role=role, purpose=purpose, **of_kind, **of_size)
        for role in roles
        for purpose in (PURPOSES if role in STAFF else PURPOSES[:1])
        for size, of_size in OF_SIZES.items()
    }


class ShapeSpawner(ClusterSpawner):
    """The lab's spawner on a site of a test's choosing."""

    of_site = SITE

    @property
    def site(self) -> ClusterSite:
        return self.of_site


def spawner_for(choice: Choice, site: ClusterSite = SITE, **settings: Any) -> ShapeSpawner:
    """The spawner of that choice's server, as a hub has it. Needs an event loop, and no cluster."""
    url = f"/user/{choice.hub_name}/"
    user = SimpleNamespace(name=choice.hub_name, escaped_name=choice.hub_name, id=1, url=url)
    hub = Hub(ip="hub", port=8081, public_host="https://lab.example", base_url="/hub/")
    with (
        patch("kubespawner.spawner.load_config"),
        # A client that only writes manifests: it has no connection to be closed.
        patch(
            "kubespawner.spawner.shared_client", lambda _kind: SimpleNamespace(api_client=ApiClient.__new__(ApiClient))
        ),
    ):
        orm_spawner = orm.Spawner(name=choice.server_name)
        spawner = ShapeSpawner(hub=hub, user=user, orm_spawner=orm_spawner, _mock=True, **settings)
    spawner.of_site, spawner.choice = site, choice
    spawner.api_token, spawner.oauth_client_id = "the-servers-own-token", f"jupyterhub-user-{choice.hub_name}"
    spawner.public_hub_url = "https://lab.example/hub/"
    return spawner


async def manifest_of(choice: Choice, site: ClusterSite = SITE) -> dict[str, Any]:
    """The pod as the API server would get it."""
    return await spawner_for(choice, site).manifest(choice)


async def asked_for(choice: Choice, site: ClusterSite = SITE) -> list[dict[str, Any]]:
    """The pod, and the volume claims that must be there for it."""
    return [await manifest_of(choice, site), *pod.claims(choice, site)]
