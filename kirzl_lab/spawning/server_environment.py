"""The environment of a server: an allow-list, so that nothing secret of the hub can be in it.

JupyterHub adds its own variables (JUPYTERHUB_API_TOKEN is the server's own token). Everything of Jupyter, IPython and
the shell lies in the server's folder, so that the machine's own settings of whoever runs the lab do not leak in.
"""

import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from kirzl_lab.spawning.choice import Choice

KEPT = (
    "CONDA_DEFAULT_ENV",
    "CONDA_PREFIX",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LD_LIBRARY_PATH",
    "PYTHONPATH",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TERM",
    "TZ",
)
"""Variables of the hub that a server gets as well."""

SERVICE_URL = "KIRZL_LAB_SERVICE_URL"
"""Where the hub finds the lab service on a laptop; a server is told the whole address under the same name."""

JUPYTER = Path(__file__).with_name("jupyter")
"""Our configuration and extension of JupyterLab, for JUPYTER_CONFIG_PATH and JUPYTER_PATH."""


def of(choice: Choice, home: Path, hub_home: str, service: str, hub: Mapping[str, str]) -> dict[str, str]:
    """What a server on a laptop is told besides JupyterHub's own variables; `hub` is the environment of the hub."""
    return everywhere(choice, home, hub_home, service) | {
        "PATH": _path(hub.get("PATH", os.defpath)),
        **({"VIRTUAL_ENV": sys.prefix} if sys.prefix != sys.base_prefix else {}),
        "JUPYTER_CONFIG_PATH": str(JUPYTER),
        "JUPYTER_PATH": str(JUPYTER),
    }


def everywhere(choice: Choice, home: Path, hub_home: str, service: str) -> dict[str, str]:
    """What every server is told, on a laptop and in a cluster.

    `hub_home` is the address of My spaces, `service` the one under which servers reach the lab service.
    """
    jupyter_data = home / ".local" / "share" / "jupyter"
    threads = str(max(1, math.ceil(choice.size.cpus)))
    return {
        "HOME": str(home),
        "USER": choice.hub_name,
        "SHELL": "/bin/bash",
        "JUPYTER_CONFIG_DIR": str(home / ".jupyter"),
        "JUPYTER_DATA_DIR": str(jupyter_data),
        "JUPYTER_RUNTIME_DIR": str(jupyter_data / "runtime"),
        "IPYTHONDIR": str(home / ".ipython"),
        # More threads than cores only wait for each other, above all under a CPU limit.
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "KIRZL_LAB_SPACE": choice.space,
        "KIRZL_LAB_SPACE_TITLE_DE": choice.title.de,
        "KIRZL_LAB_SPACE_TITLE_EN": choice.title.en,
        "KIRZL_LAB_SIZE_TITLE_DE": choice.size.title.de,
        "KIRZL_LAB_SIZE_TITLE_EN": choice.size.title.en,
        "KIRZL_LAB_PURPOSE": choice.purpose,
        "KIRZL_LAB_KIND": choice.kind,
        "KIRZL_LAB_STAFF": "1" if choice.staff else "",
        SERVICE_URL: service,
        "KIRZL_LAB_HOME_URL": hub_home,
        "KIRZL_LAB_IDLE_HOURS": f"{choice.idle_hours:g}",
        "KIRZL_LAB_TIMEZONE": choice.timezone,
    }


def _path(hub_path: str) -> str:
    """The hub's PATH with the programs of the running Python first, so that `pip` in a terminal is the right one."""
    own = str(Path(sys.executable).parent)
    return os.pathsep.join([own, *(part for part in hub_path.split(os.pathsep) if part != own)])


def service_address(inside: str, hub_base_url: str) -> str:
    """Where servers reach the lab service, for what the hub calls `inside` it and the hub's own base URL."""
    return f"{inside.rstrip('/')}{hub_base_url.rstrip('/').removesuffix('/hub')}/services/lab/"
