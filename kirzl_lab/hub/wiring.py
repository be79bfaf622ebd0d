"""`configure(c)`: JupyterHub put together for the lab."""

import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import URL

from kirzl_lab.hub import in_cluster, on_laptop
from kirzl_lab.hub.authenticator import HubAuthenticator
from kirzl_lab.hub.lab import the_lab
from kirzl_lab.hub.pages import NotFoundPage
from kirzl_lab.hub.spawner import LaptopHubSpawner
from kirzl_lab.hub.watching import watch
from kirzl_lab.look import TEMPLATES
from kirzl_lab.look.i18n import PageWords
from kirzl_lab.spawning import limits
from kirzl_lab.spawning.site import site_of

HUB_TEMPLATES = Path(__file__).parent / "templates"

AUTH_REFRESH_S = 300
"""How old what we know of a login may be before the next request to the hub checks it again."""

BLOCK_TOLD_S = 0.1
"""A block of the hub's event loop that is longer is told in its log."""

DATABASE_PATIENCE_S = 0.5
"""How long the hub waits for a lock on its own database. It waits on its event loop: everybody waits with it."""

HUB_DATABASE_URL = "KIRZL_LAB_HUB_DATABASE_URL"
"""Names an address of SQLAlchemy for the hub's own database in place of its file. Decision 702 tells what that costs."""

SERVICE_SCOPES = ["list:users", "read:servers", "delete:servers"]
"""What the lab service may do at the hub: see whose servers run, and stop one: for an operator, or without a right."""


class WalConnection(sqlite3.Connection):
    """The hub's own database in WAL mode: 0.5 s instead of 12 s at 200 starts in five seconds (measured)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.execute("PRAGMA journal_mode=WAL")
        self.execute("PRAGMA synchronous=NORMAL")


def configure(c: Any, environment: Mapping[str, str] = os.environ) -> None:
    """Fill JupyterHub's configuration from the catalogue and from what the process was told by its environment.

    Servers are processes of this machine, or pods where the environment tells of a cluster (`spawning.site`).
    """
    settings = the_lab().settings
    site = site_of(environment)
    # The proxy is the supervisor's to start and to end, or the chart's.
    c.ConfigurableHTTPProxy.should_start = False
    c.ConfigurableHTTPProxy.auth_token = environment["CONFIGPROXY_AUTH_TOKEN"]
    c.JupyterHub.cleanup_proxy = False
    _database(c, settings.data, environment)
    if site is None:
        on_laptop.configure(c, settings.public_url, environment)
    else:
        in_cluster.configure(c, settings.public_url, site, environment)
    configure_lab(c, environment)


def configure_lab(c: Any, environment: Mapping[str, str] = os.environ) -> None:
    """What makes a JupyterHub the lab: who logs in, what starts, its pages and its service.

    For a site whose chart configures the rest of JupyterHub itself (helm/z2jh): called at the end of that chart's
    configuration. Services, roles and template folders that are there stay. Others call `configure`.
    """
    settings = the_lab().settings
    site = site_of(environment)
    c.JupyterHub.authenticator_class = HubAuthenticator
    c.Authenticator.enable_auth_state = True
    c.Authenticator.auth_refresh_age = AUTH_REFRESH_S
    c.Authenticator.manage_groups = False
    c.JupyterHub.cookie_max_age_days = the_lab().catalogue.lab.session_hours / 24
    c.JupyterHub.public_url = settings.public_url
    c.JupyterHub.redirect_to_server = False
    c.JupyterHub.allow_named_servers = True
    c.PeriodicMetricsCollector.event_loop_interval_log_threshold = BLOCK_TOLD_S
    if str(c.JupyterHub.get("db_url", "")).startswith("sqlite"):
        c.JupyterHub.db_kwargs = {
            "connect_args": {"check_same_thread": False, "factory": WalConnection, "timeout": DATABASE_PATIENCE_S}
        }
    if site is None:
        c.JupyterHub.spawner_class = LaptopHubSpawner
        c.Spawner.start_timeout = 120
        limits.detect()  # once and now: looking may take a moment, and the pages ask for it on the event loop
    else:
        in_cluster.configure_lab(c, settings.public_url, site)
    c.Spawner.http_timeout = 60
    _roles_and_service(c, site.service_url if site else environment["KIRZL_LAB_SERVICE_URL"], environment)
    _pages(c)
    watch(c, environment)


def _database(c: Any, data: Path, environment: Mapping[str, str]) -> None:
    # Not put together as text: a folder may have a ? or a % in its name.
    own = URL.create("sqlite", database=str(data / "hub.sqlite")).render_as_string()
    c.JupyterHub.db_url = environment.get(HUB_DATABASE_URL) or own
    # A newer JupyterHub changes its tables at its first start; it copies the file before.
    c.JupyterHub.upgrade_db = True


def _roles_and_service(c: Any, service_url: str, environment: Mapping[str, str]) -> None:
    c.JupyterHub.services = [
        *c.JupyterHub.get("services", []),
        {
            "name": "lab",
            "url": service_url,
            "api_token": environment["KIRZL_LAB_SERVICE_TOKEN"],
            # With subdomains JupyterHub would expect an address with a host; ours is the hub's own.
            "oauth_redirect_uri": "/services/lab/oauth_callback",
            "oauth_no_confirm": True,
            "display": False,
        },
    ]
    # A server's token reaches the service only when the scope is in both roles, user and server.
    c.JupyterHub.load_roles = [
        *c.JupyterHub.get("load_roles", []),
        {"name": "user", "scopes": ["self", "access:services!service=lab"]},
        {
            "name": "server",
            "scopes": ["users:activity!user", "access:servers!server", "access:services!service=lab"],
        },
        {"name": "lab-service", "services": ["lab"], "scopes": SERVICE_SCOPES},
    ]


def _pages(c: Any) -> None:
    c.JupyterHub.template_paths = [str(HUB_TEMPLATES), str(TEMPLATES), *c.JupyterHub.get("template_paths", [])]
    c.JupyterHub.jinja_environment_options = {"extensions": [PageWords]}
    c.JupyterHub.tornado_settings = {
        "headers": {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "strict-origin-when-cross-origin"},
        "cookie_options": {"samesite": "Lax"},
    }
    # Handlers of the authenticator come first, so the page for every other address must be here, after the hub's own.
    c.JupyterHub.extra_handlers = [(r"/(?!api/|logo|static/).*", NotFoundPage)]
