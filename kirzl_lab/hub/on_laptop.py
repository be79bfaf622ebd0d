"""The hub of a laptop: addresses on loopback, servers that end with the lab."""

from collections.abc import Mapping
from typing import Any


def configure(c: Any, public_url: str, environment: Mapping[str, str]) -> None:
    """Where the parts that the supervisor started are, and what ends with the hub."""
    c.JupyterHub.bind_url = public_url
    c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{environment['KIRZL_LAB_HUB_PORT']}"
    c.JupyterHub.cookie_secret_file = environment["KIRZL_LAB_COOKIE_SECRET_FILE"]
    c.ConfigurableHTTPProxy.api_url = environment["KIRZL_LAB_PROXY_API_URL"]
    c.JupyterHub.cleanup_servers = True
