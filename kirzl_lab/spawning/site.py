"""What the hub must know of its cluster to start servers in it: one JSON file, written by the chart."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kirzl_lab.catalog.models import Toleration

VARIABLE = "KIRZL_LAB_CLUSTER"
"""Names the file. Where it is not set, servers are processes of this machine."""


class Graders(BaseModel):
    """Where submissions are run, and what each may use."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    namespace: str = Field(description="Where the Jobs are made; nothing else is there.")
    image: str = Field(description="What the cluster pulls.")
    cpus: float = Field(gt=0, description="Cores of one submission.")
    memory_gib: float = Field(gt=0, description="Memory of one submission, in GiB.")
    minutes: float = Field(gt=0, description="How long one submission may run.")
    at_once: int = Field(ge=1, description="How many submissions are run at the same moment.")
    tasks: str = Field(description="Where graders fetch and report: http://tasks:8090.")


class ClusterSite(BaseModel):
    """The cluster as the hub's process sees it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    namespace: str = Field(description="Where servers and their volumes are made: the hub's own namespace.")
    release: str = Field(description="Name of the installation; a label of everything that it makes.")
    images: dict[str, str] = Field(description="Image as courses name it -> what the cluster pulls.")
    image_pull_policy: Literal["IfNotPresent", "Never", "Always"] = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    home_storage_class: str | None = Field(default=None, description="Of homes (ReadWriteOnce); None: the default.")
    shared_storage_class: str | None = Field(
        default=None, description="Of `materials` and `course` (ReadWriteMany); None: the default."
    )
    egress_proxy: str | None = Field(
        default=None, description="Address of the proxy for network reach package-mirrors, as http://host:port."
    )
    hub_url: str = Field(description="Where proxy, service and servers reach the hub: http://hub:8081.")
    service_url: str = Field(description="Where the proxy reaches the lab service: http://service:8080.")
    proxy_api_url: str = Field(description="Where the hub tells the proxy its routes: http://proxy-api:8001.")
    extra_routes: dict[str, str] = Field(
        default_factory=dict, description="Further names at the front door, as JupyterHub's Proxy.extra_routes."
    )
    server_node_selector: dict[str, str] = Field(default_factory=dict, description="Labels of nodes for all servers.")
    server_tolerations: tuple[Toleration, ...] = Field(default=(), description="Taints that all servers tolerate.")
    graders: Graders | None = Field(default=None, description="How submissions are run; None: by nobody here.")
    server_priority_class: str = Field(default="", description="PriorityClass of all servers; empty: the default.")


class BadClusterFileError(Exception):
    """The file cannot be read; the message says which and why."""


def site_of(environment: Mapping[str, str] = os.environ) -> ClusterSite | None:
    """The cluster that the environment tells of, or None on a laptop. Raises `BadClusterFileError`."""
    name = environment.get(VARIABLE)
    if not name:
        return None
    try:
        return ClusterSite.model_validate_json(Path(name).read_text(encoding="utf-8"))
    except (OSError, UnicodeError, ValidationError) as error:
        raise BadClusterFileError(f"{VARIABLE} names {name}, which cannot be read: {error}") from error
