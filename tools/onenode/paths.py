"""Where things are. Built programs outlive a cluster; everything else of it is in one folder that `down` removes."""

import os
from pathlib import Path

NAME = "kirzl-onenode"  # of the network namespace, the cgroups and the folders

# Short, since a socket's path may have 107 characters.
STATE = Path("/var/lib") / NAME
LOCK = Path("/run") / f"{NAME}.lock"
LOGS = STATE / "logs"
RUN = STATE / "run"
CERTIFICATES = STATE / "certificates"
CONFIG = STATE / "config"
VOLUMES = STATE / "volumes"
KUBECONFIG = STATE / "kubeconfig"
CONTAINERD_SOCKET = RUN / "containerd.sock"
NAMESPACE_FILE = RUN / "network"


def cache() -> Path:
    """The folder for what is built once and kept: `kirzl-lab/tools` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "kirzl-lab" / "tools"
