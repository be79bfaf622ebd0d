"""The hub of a cluster: servers as pods that outlive it, each person on an origin of their own."""

from collections.abc import Mapping
from typing import Any

from jupyterhub.utils import subdomain_hook_idna

from kirzl_lab.spawning.site import ClusterSite

PORT = 8081
"""Where the hub listens in its pod."""

CHECK_ROUTES_S = 10
"""How often the hub compares the proxy's routes with its own: a proxy that restarted has none."""

SERVERS_KNOWN_S = 5
"""How long the hub waits at its start for what it knows of servers to be compared with the cluster, before it serves."""

START_S = 300
"""How long a start may take: a node that is new here fetches an image of several gigabytes first."""


def configure_lab(c: Any, public_url: str, site: ClusterSite) -> None:
    """Start servers as pods of the site, each person's on an origin of their own."""
    c.JupyterHub.spawner_class = "kirzl_lab.hub.cluster_spawner.ClusterHubSpawner"
    c.KubeSpawner.namespace = site.namespace
    c.KubeSpawner.start_timeout = START_S
    # Only what is given: in another chart's hub these are that chart's to say.
    if site.server_node_selector:
        c.KubeSpawner.node_selector = dict(site.server_node_selector)
    if site.server_tolerations:
        c.KubeSpawner.tolerations = [each.model_dump(exclude_none=True) for each in site.server_tolerations]
    if site.server_priority_class:
        c.KubeSpawner.priority_class_name = site.server_priority_class
    # What is the matter with a pod is told to its person, and counted for the operator. A hub that ends after some
    # failures in a row takes everybody's pages away for one broken image.
    c.Spawner.consecutive_failure_limit = 0
    # JupyterHub turns people away beyond its limit; Kubernetes lets their pods wait, and we say for what.
    c.JupyterHub.concurrent_spawn_limit = 0
    c.JupyterHub.subdomain_host = public_url
    c.JupyterHub.subdomain_hook = own_origins
    c.Proxy.extra_routes = dict(site.extra_routes)


def configure(c: Any, public_url: str, site: ClusterSite, environment: Mapping[str, str]) -> None:
    """Where the chart's parts are, and what lives on without the hub."""
    c.JupyterHub.bind_url = public_url
    c.JupyterHub.hub_bind_url = f"http://0.0.0.0:{PORT}"
    c.JupyterHub.hub_connect_url = site.hub_url
    c.JupyterHub.cookie_secret = environment["KIRZL_LAB_COOKIE_SECRET"]
    c.ConfigurableHTTPProxy.api_url = site.proxy_api_url
    c.JupyterHub.cleanup_servers = False
    c.JupyterHub.last_activity_interval = CHECK_ROUTES_S
    c.JupyterHub.init_spawners_timeout = SERVERS_KNOWN_S


def own_origins(name: str, domain: str, kind: str) -> str:
    """The host of a person's servers, or of a service: an origin of its own for each person, the hub's for ours.

    Instructors open what students wrote, so one person's page must not act as another. Pages of the lab service and
    of the hub are one site.
    """
    return domain if (kind, name) == ("service", "lab") else str(subdomain_hook_idna(name, domain, kind))
