"""The processes of a laptop's lab: their commands, what they are told, and when each of them answers."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL

from kirzl_lab.cli.keys import Keys
from kirzl_lab.cli.node import DEMO, PROXY
from kirzl_lab.cli.parts import Check, Part, Plan
from kirzl_lab.cli.ports import Ports
from kirzl_lab.cli.state import Folder
from kirzl_lab.settings import Settings

HOST = "127.0.0.1"
SERVICE_PREFIX = "/services/lab/"
PYTHON = (sys.executable, "-P", "-m")
"""-P: what happens to lie in the folder where a process runs is not imported."""

START_LIMIT_S = 100
"""Seconds until all parts answer: some on a quiet machine, many on a busy one."""

DEMO_ACCOUNTS = {
    "Demo University": ("operator", "lecturer", "assistant", "student1 to student30"),
    "Demo University of Applied Sciences": ("lecturer", "student1", "student2"),
    "Demo Start-up Centre": ("founder", "member"),
}
NOBODY = (
    "Nobody can log in yet. No institution is set up. Whoever runs this lab adds one to institutions.yaml and starts "
    "the lab again, or starts it with demo institutions to try it."
)
"""The words of the login page."""

DEMO_SECRETS = {"KIRZL_LAB_UAS_SECRET": "demo-secret-uas"}
"""Client secrets of the demo institutions; `tools/demo_institutions` has the same default."""

SHARED = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PYTHONPATH", "TMPDIR", "TZ")
"""What every part gets of the environment of whoever starts the lab, besides a PATH."""


@dataclass(frozen=True, slots=True)
class Options:
    """What `kirzl-lab up` was asked for."""

    folder: Folder
    hub_config: Path
    courses: Path
    port: int | None = None
    demo: bool = False


def settings_for(options: Options, ports: Ports) -> Settings:
    """What every process of this lab is told."""
    return Settings(
        hub_config=options.hub_config.resolve(),
        courses=options.courses.resolve(),
        data=options.folder.path,
        database_url=database_url(options.folder),
        public_url=f"http://localhost:{ports.public}",
        demo_url=f"http://localhost:{ports.demo}" if options.demo else None,
    )


def database_url(folder: Folder) -> str:
    """The address of the lab database of a laptop."""
    # Not put together as text: what is a # or a % in a folder's name would mean something else in an address.
    address = URL.create("sqlite+aiosqlite", database=str(folder.path / "lab.sqlite"))
    return address.render_as_string(hide_password=False)


def plan_for(
    options: Options, ports: Ports, keys: Keys, node: Path, environment: Mapping[str, str] = os.environ
) -> Plan:
    """The lab as a plan for the inner supervisor. Its environments hold secrets.

    Institutions' client secrets are in `environment`, under names that the catalogue gives. Only the hub gets all of
    it, and the preparation, which sees that none is missing: a demo institution gets its own, the others get none.
    """
    settings = settings_for(options, ports)
    path = os.pathsep.join((str(Path(sys.executable).parent), str(node.parent), environment.get("PATH", os.defpath)))
    bare = {name: environment[name] for name in SHARED if name in environment} | {"PATH": path}
    demo_secrets = {name: environment.get(name, secret) for name, secret in DEMO_SECRETS.items()}
    everything = {**environment, **(demo_secrets if options.demo else {}), "PATH": path, **settings.environment()}
    logs = options.folder.logs

    def part(name: str, argv: tuple[str, ...], told: Mapping[str, str], check: Check | None, *after: str) -> Part:
        return Part(name, argv, told, str(options.folder.path), str(logs / f"{name}.log"), check, after)

    # Parts are asked at their own ports: the proxy would note each question to one that does not listen yet.
    parts = [
        part("prepare", (*PYTHON, "kirzl_lab.cli.prepare"), everything, None),
        part(
            "proxy",
            _proxy(ports, node),
            {**bare, "CONFIGPROXY_AUTH_TOKEN": keys.proxy_token},
            # Without its token it answers 403; the token need not travel to see that.
            Check(f"http://{HOST}:{ports.proxy_api}/api/routes", (403,)),
        ),
        part(
            "hub",
            (*PYTHON, "kirzl_lab.cli.hub", "-f", str(settings.hub_config / "jupyterhub_config.py")),
            {**everything, **_hub_environment(ports, keys)},
            # What people see first.
            Check(f"http://{HOST}:{ports.hub}/hub/login"),
            "prepare",
            "proxy",
        ),
        part(
            "service",
            (
                *(*PYTHON, "uvicorn", "kirzl_lab.service.app:app_from_environment", "--factory"),
                *("--host", HOST, "--port", str(ports.service), "--no-access-log"),
            ),
            {**bare, **settings.environment(), **_service_environment(ports, keys)},
            Check(f"http://{HOST}:{ports.service}{SERVICE_PREFIX}health"),
            "prepare",
        ),
    ]
    if options.demo:
        parts.append(
            part(
                "demo",
                _demo(ports, node, options.folder),
                {**bare, **demo_secrets},
                Check(f"{_demo_url(ports)}/.well-known/openid-configuration"),
            )
        )
    return Plan(
        parts=tuple(parts),
        # Through the proxy, as browsers see it: the hub is there, and has made the route to the service.
        at_last=Check(f"http://{HOST}:{ports.public}{SERVICE_PREFIX}health"),
        start_limit_s=START_LIMIT_S,
        ends_first="hub",
    )


def _demo_url(ports: Ports) -> str:
    return f"http://localhost:{ports.demo}/uni"


def _proxy(ports: Ports, node: Path) -> tuple[str, ...]:
    hub = f"http://{HOST}:{ports.hub}"
    return (
        *(str(node), str(PROXY)),
        *("--ip", HOST, "--port", str(ports.public)),
        *("--api-ip", HOST, "--api-port", str(ports.proxy_api)),
        *("--default-target", hub, "--error-target", f"{hub}/hub/error"),
    )


def _demo(ports: Ports, node: Path, folder: Folder) -> tuple[str, ...]:
    return (
        *(str(node), str(DEMO)),
        *("--base-url", f"http://localhost:{ports.demo}", "--host", HOST, "--port", str(ports.demo)),
        *("--redirect-base", f"http://localhost:{ports.public}"),
        *("--keys", str(folder.secrets / "demo_keys.json")),
    )


def _hub_environment(ports: Ports, keys: Keys) -> dict[str, str]:
    return {
        "JUPYTERHUB_CRYPT_KEY": keys.crypt_key,
        "CONFIGPROXY_AUTH_TOKEN": keys.proxy_token,
        "KIRZL_LAB_SERVICE_TOKEN": keys.service_token,
        "KIRZL_LAB_METRICS_TOKEN": keys.metrics_token,
        "KIRZL_LAB_PROXY_API_URL": f"http://{HOST}:{ports.proxy_api}",
        "KIRZL_LAB_HUB_PORT": str(ports.hub),
        "KIRZL_LAB_SERVICE_URL": f"http://{HOST}:{ports.service}",
        "KIRZL_LAB_COOKIE_SECRET_FILE": str(keys.cookie_secret_file),
    }


def _service_environment(ports: Ports, keys: Keys) -> dict[str, str]:
    return {
        "JUPYTERHUB_API_TOKEN": keys.service_token,
        "KIRZL_LAB_METRICS_TOKEN": keys.metrics_token,
        "KIRZL_LAB_RECEIPT_KEYS": keys.receipt_keys,
        "JUPYTERHUB_API_URL": f"http://{HOST}:{ports.hub}/hub/api",
        "JUPYTERHUB_BASE_URL": "/",
        "JUPYTERHUB_SERVICE_NAME": "lab",
        "JUPYTERHUB_SERVICE_PREFIX": SERVICE_PREFIX,
        "JUPYTERHUB_CLIENT_ID": "service-lab",
    }
