"""What the package clients inside a build are told: this machine's own settings, so that a mirror set up here is used there.

Everything goes into one folder that is mounted while a RUN step runs and is in no layer, no variable and no history of
the image. The folder may hold passwords of a registry: only its owner can open it.
"""

import os
import re
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

from images.commands import said

INSIDE = "/run/clients"
CACHE_INSIDE = "/run/cache"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
APT_FOLDER = Path("/etc/apt")
# Settings of uv and npm that make sense inside another file system: addresses and limits, no paths.
PASSED = re.compile(
    r"UV_(DEFAULT_INDEX|INDEX|INDEX_URL|EXTRA_INDEX_URL|INDEX_.+_(USERNAME|PASSWORD)|HTTP_TIMEOUT|INSECURE_HOST)"
    r"|(npm_config|NPM_CONFIG)_(registry|REGISTRY)"
    r"|(https?|HTTPS?|all|ALL|no|NO)_(proxy|PROXY)"
)


class NoDebianSourceError(Exception):
    """This machine's apt knows no archive of Debian 12."""


def shell_settings(environment: Mapping[str, str]) -> str:
    """The shell script that each RUN step reads first."""
    ours = {
        "APT_CONFIG": f"{INSIDE}/apt.conf",
        "DEBIAN_FRONTEND": "noninteractive",
        "NODE_EXTRA_CA_CERTS": f"{INSIDE}/authorities.crt",
        "NPM_CONFIG_CACHE": f"{CACHE_INSIDE}/npm",
        "NPM_CONFIG_UPDATE_NOTIFIER": "false",
        "NPM_CONFIG_USERCONFIG": f"{INSIDE}/npmrc",
        "PYC_INVALIDATION_MODE": "UNCHECKED_HASH",
        "SSL_CERT_FILE": f"{INSIDE}/authorities.crt",
        "UV_CACHE_DIR": f"{CACHE_INSIDE}/uv",
        "UV_CONFIG_FILE": f"{INSIDE}/uv.toml",
        "UV_LINK_MODE": "copy",
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
    }
    passed = {name: value for name, value in environment.items() if PASSED.fullmatch(name)}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted((passed | ours).items())]
    return "\n".join(["set -e", *lines, f'export PATH="{INSIDE}:$PATH"', ""])


def apt_settings(machine: str) -> str:
    """apt's configuration inside; `machine` is what `apt-config dump` says here, of which the network's part counts."""
    network = [line for line in machine.splitlines() if re.match(r"Acquire::(https?|Retries)\b", line)]
    paths = re.compile(r"::(Ca(Info|Path)|Ssl\w+|Proxy-Auto-Detect|ProxyAutoDetect)\b", re.IGNORECASE)
    return "\n".join(
        [
            f'Dir::Etc::sourcelist "{INSIDE}/sources.list";',
            f'Dir::Etc::sourceparts "{INSIDE}/sources.list.d";',
            'APT::Install-Recommends "false";',
            'Dpkg::Use-Pty "false";',
            'Dpkg::Options { "--force-unsafe-io"; };',
            *(line for line in network if not paths.search(line)),
            f'Acquire::https::CaInfo "{INSIDE}/authorities.crt";',
            "",
        ]
    )


def debian_sources(folder: Path = APT_FOLDER) -> dict[str, str]:
    """The files of apt's folder that name Debian 12's archive, by their path inside it; raises `NoDebianSourceError`."""
    candidates = (folder / "sources.list", folder / "sources.list.d" / "debian.sources")
    texts = {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in candidates if path.exists()}
    found = {name: text for name, text in texts.items() if re.search(r"^[^#]*\bbookworm\b", text, re.MULTILINE)}
    if not found:
        raise NoDebianSourceError(
            "This machine's apt knows no archive of Debian 12: build on Debian 12, or give a registry's image with --base."
        )
    return found


def mirror(sources: Mapping[str, str]) -> str:
    """The address of Debian 12's archive in apt's files, for debootstrap; raises `NoDebianSourceError`."""
    for text in sources.values():
        for pattern in (
            r"^URIs:\s*(\S+)(?=(?:.*\n)*?Suites:[^\n]*\bbookworm(?:\s|$))",
            r"^deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+bookworm\s",
        ):
            found = re.search(pattern, text, re.MULTILINE)
            if found:
                return found[1]
    raise NoDebianSourceError("No line of this machine's apt names the suite bookworm.")


def prepare(folder: Path, uv: Path, repository: Path) -> None:
    """Fill `folder`, which is new and ours, with everything the clients need, uv included."""
    folder.mkdir(mode=0o755)
    (folder.parent).chmod(0o700)
    (folder / "settings").write_text(shell_settings(os.environ), encoding="utf-8")
    (folder / "apt.conf").write_text(apt_settings(said("apt-config", "dump")), encoding="utf-8")
    (folder / "sources.list.d").mkdir()
    (folder / "sources.list").touch()
    for name, text in debian_sources().items():
        (folder / name).write_text(text, encoding="utf-8")
    _copy_or_empty(Path(os.environ.get("SSL_CERT_FILE", AUTHORITIES)), folder / "authorities.crt")
    _copy_or_empty(Path("~/.config/uv/uv.toml").expanduser(), folder / "uv.toml")
    _copy_or_empty(Path(), folder / "npmrc")
    npmrc = Path("~/.npmrc").expanduser()
    if npmrc.exists():
        lines = npmrc.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if re.match(r"\s*(//|(@[^:]+:)?registry\b)", line)]
        (folder / "npmrc").write_text("\n".join([*kept, ""]), encoding="utf-8")
    shutil.copy2(uv, folder / "uv")
    shutil.copy(repository / "images" / "tidy", folder / "tidy")


def _copy_or_empty(source: Path, target: Path) -> None:
    if source.is_file():
        shutil.copy(source, target)
    else:
        target.touch()
