"""The images themselves: built when they are not there, then each is looked at and started as a cluster would."""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from images import buildah
from images.about import about, version
from images.build import cache_folder, reference
from images.clients import AUTHORITIES, PASSED, debian_sources
from images.plan import BY_NAME, PREFIX, REPOSITORY

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

COMPILERS = ("as", "c++", "c99", "cc", "clang", "g++", "gcc", "ld", "make", "rustc", "tcc")


@dataclass(frozen=True)
class Opened:
    """An image with its root file system mounted."""

    name: str
    tag: str
    key: str
    root: Path
    config: dict[str, Any]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """As in a pod: the image's user and variables, a root file system that cannot be written, tmpfs on /tmp and home, a network of its own."""
        root = shlex.quote(str(self.root))
        variables = dict(pair.split("=", 1) for pair in self.config["Env"])
        home = variables.get("HOME", "/home/lab")
        script = f"""
            set -e
            ip link set lo up
            mount --bind {root} {root}
            mount -o remount,bind,ro {root}
            mount --rbind /dev {root}/dev
            mount --rbind /proc {root}/proc
            mount -t tmpfs -o mode=1777 tmpfs {root}/tmp
            mount -t tmpfs -o mode=1777 tmpfs {root}{home}
            exec chroot --userspec={self.config["User"]} {root} env -i "$@"
        """
        pairs = [f"{name}={value}" for name, value in ({"HOME": home} | variables).items()]
        inside = [*pairs, "sh", "-c", 'cd "$HOME" && exec "$@"', "sh", *command]
        return subprocess.run(
            ["unshare", "--mount", "--net", "sh", "-c", script, "sh", *inside],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )


@pytest.fixture(scope="module")
def opened() -> Iterator[dict[str, Opened]]:
    """All images, built with the command that people use, and mounted."""
    done = subprocess.run([sys.executable, "-m", "images"], cwd=REPOSITORY, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with ExitStack() as stack:
        found = {}
        # What it said, since files may have been edited after it looked.
        for name, key in re.findall(rf"{PREFIX}/(\S+):(\w+)$", done.stderr, re.MULTILINE):
            tag = reference(name, key)
            archive = cache_folder() / f"{name}-{key}.tar"
            assert archive.exists()
            if not buildah.has(tag):
                buildah.restore(tag, archive, sys.stderr)
            _, root = stack.enter_context(buildah.mounted(tag))
            document: Any = buildah.inspect(tag)
            found[name] = Opened(name, tag, key, root, document["OCIv1"]["config"])
        assert set(found) == set(BY_NAME)
        yield found


@pytest.fixture(params=list(BY_NAME))
def image(request: pytest.FixtureRequest, opened: dict[str, Opened]) -> Opened:
    return opened[request.param]


def test_it_is_not_root_and_says_what_it_is(image: Opened) -> None:
    assert image.config["User"] == "1000:1000"
    labels = image.config["Labels"]
    assert about().items() <= labels.items()
    assert labels["org.opencontainers.image.version"] == version()
    assert labels["org.opencontainers.image.revision"] == image.key
    assert labels["org.opencontainers.image.title"] == f"kirzl-lab {image.name}"


def test_it_answers_with_a_version_on_a_root_file_system_that_cannot_be_written(image: Opened) -> None:
    done = image.run(*image.config["Entrypoint"][:2], *BY_NAME[image.name].version_command)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d+\.\d+", done.stdout), done
    refused = image.run("touch", "/usr/x", "/etc/x", "/opt/x")
    assert refused.returncode != 0
    assert refused.stderr.count("Read-only file system") >= 1


def test_it_has_no_compiler_and_nothing_that_makes_a_user_root(image: Opened) -> None:
    folders = [image.root / name for name in ("usr/bin", "usr/local/bin", "opt/lab/bin", "opt/notebook/bin")]
    present = {path.name for folder in folders if folder.is_dir() for path in folder.iterdir()}
    assert not present & set(COMPILERS)
    libraries = image.root / "usr/lib/x86_64-linux-gnu"
    assert not [path.name for path in libraries.iterdir() if path.name.startswith(("libLLVM", "libclang"))]
    found = subprocess.run(
        ["find", str(image.root), "-xdev", "-type", "f", "-perm", "/6000"], check=True, capture_output=True, text=True
    )
    assert found.stdout == ""


def certificate_lines(text: str) -> set[str]:
    """One line from the middle of each certificate: enough to tell them apart."""
    bodies = re.findall(r"-----BEGIN CERTIFICATE-----\n(.+?)-----END", text, re.DOTALL)
    return {body.splitlines()[len(body.splitlines()) // 2] for body in bodies}


def secrets_of_this_machine(image: Opened) -> set[str]:
    """What must be nowhere: name servers, authorities of its own, values of the package clients' settings."""
    resolver = Path("/etc/resolv.conf").read_text("utf-8")
    servers = {
        server for server in re.findall(r"^nameserver\s+(\S+)", resolver, re.MULTILINE) if not server.startswith("127.")
    }
    machine = Path(os.environ.get("SSL_CERT_FILE", AUTHORITIES)).read_text("utf-8")
    public = (image.root / "etc/ssl/certs/ca-certificates.crt").read_text("utf-8")
    own = certificate_lines(machine) - certificate_lines(public)
    settings = {value for name, value in os.environ.items() if PASSED.fullmatch(name) and "/" in value}
    name = {socket.gethostname()} if len(socket.gethostname()) > 7 else set()
    return servers | own | settings | name


def hosts_of_packages() -> set[str]:
    """The hosts that this machine's packages come from; Debian's own is named in places of Debian's packages, too."""
    return {host for text in debian_sources().values() for host in re.findall(r"://(?:[^/@\s]*@)?([^/\s:]+)", text)}


def test_nothing_of_the_machine_that_built_it_is_inside(image: Opened, tmp_path: Path) -> None:
    patterns = tmp_path / "patterns"
    secrets = secrets_of_this_machine(image)
    assert secrets, "there is nothing to look for, so this would show nothing"
    patterns.write_text("".join(f"{one}\n" for one in sorted(secrets)))
    everywhere = subprocess.run(
        ["grep", "-rlaF", "-f", str(patterns), str(image.root)], check=False, capture_output=True, text=True
    )
    assert everywhere.returncode in (1, 2)
    assert everywhere.stdout == ""
    patterns.write_text("".join(f"{one}\n" for one in sorted(secrets | hosts_of_packages())))
    places = [str(image.root / name) for name in ("etc", "root", "home", "run", "tmp", "srv", "var")]
    written = subprocess.run(
        ["grep", "-rlaF", "-f", str(patterns), *places], check=False, capture_output=True, text=True
    )
    assert written.stdout == ""
    told = json.dumps(buildah.inspect(image.tag))
    assert not [one for one in secrets | hosts_of_packages() if one in told]
    for name in ("etc/pip.conf", "root/.npmrc", "root/.config", "run/clients/settings", "etc/apt/sources.list"):
        assert not (image.root / name).exists()
    assert not any(re.match(r"(?i)(pip|uv|npm|ssl|https?)_", pair) for pair in image.config["Env"])


@pytest.mark.parametrize(
    ("name", "folder"),
    [("hub", "opt/lab/lib/python3.11/site-packages"), ("notebook", "opt/notebook/lib/python3.11/site-packages")],
)
def test_packages_are_compiled(opened: dict[str, Opened], name: str, folder: str) -> None:
    for package in {"hub": ("jupyterhub", "kirzl_lab", "kubespawner"), "notebook": ("jupyter_server", "nbgrader")}[
        name
    ]:
        sources = [
            path for path in (opened[name].root / folder / package).rglob("*.py") if "templates" not in path.parts
        ]
        assert len(sources) > 5
        assert [path for path in sources if not list((path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"))] == []


def test_the_hub_image_has_what_its_processes_import(opened: dict[str, Opened]) -> None:
    modules = "kirzl_lab.hub.wiring, kirzl_lab.service.app, kirzl_lab.store.migrate, kubespawner, psycopg"
    done = opened["hub"].run("python", "-c", f"import {modules}")
    assert done.returncode == 0, done.stderr
    served = opened["hub"].run("process", "service", "--version")
    assert served.returncode == 0, served.stderr


def imports_of(course: str) -> set[str]:
    """The top-level packages that the notebooks of a course import, less those that lie beside them."""
    names: set[str] = set()
    folder = REPOSITORY / "courses" / course / "materials"
    for notebook in folder.glob("*.ipynb"):
        for cell in json.loads(notebook.read_text("utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                names |= set(re.findall(r"^(?:import|from) (\w+)", "".join(cell["source"]), re.MULTILINE))
    return names - {path.stem for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("name", "course"),
    [("notebook", "ml-101"), ("grader", "ml-101"), ("notebook-gpu", "ml-101"), ("notebook-gpu", "dl-201")],
)
def test_a_course_finds_its_packages(opened: dict[str, Opened], name: str, course: str) -> None:
    modules = imports_of(course)
    assert modules
    done = opened[name].run("python", "-c", f"import {', '.join(sorted(modules))}")
    assert done.returncode == 0, done.stderr


LOADED = """
from jupyter_core.paths import jupyter_config_path
from jupyter_server.extension.config import ExtensionConfigManager
from jupyter_server.extension.manager import ExtensionPackage
found = ExtensionConfigManager(read_config_path=jupyter_config_path()).get_jpserver_extensions()
print(*(name for name, enabled in found.items() if enabled and ExtensionPackage(name=name, enabled=True).validate()))
"""
"""Prints the extensions that a server there loads, each of which can be imported."""


def uncoloured(said: str) -> str:
    """What a program printed, without the codes that colour it in a terminal."""
    return re.sub(r"\x1b\[[0-9;]*m", "", said)


def test_a_server_has_the_part_of_the_lab_that_runs_inside_it(opened: dict[str, Opened]) -> None:
    assert opened["notebook"].config["Cmd"] == ["python", "-P", "-m", "kirzl_lab.spawning.server"]
    listed = opened["notebook"].run("jupyter", "labextension", "list")
    assert re.search(r"@kirzl/lab v\S+ enabled OK", uncoloured(listed.stdout + listed.stderr)), listed
    # `jupyter server extension list` does not look along JUPYTER_CONFIG_PATH, as a server does.
    loaded = opened["notebook"].run("python", "-c", LOADED).stdout
    assert "kirzl_lab.spawning.server_extension" in loaded.split(), loaded
    others = opened["notebook"].run("python", "-c", "import kirzl_lab.spawning.choice")
    assert "No module named" in others.stderr, "nothing else of the lab is there"


def test_people_are_jovyan_in_notebooks(opened: dict[str, Opened]) -> None:
    done = opened["notebook"].run("sh", "-c", "id -un && jupyter lab --version && nbgrader --version")
    assert done.stdout.startswith("jovyan\n4."), done
    assert "0.9.6" in done.stdout


def test_postgres_serves_what_it_made(opened: dict[str, Opened]) -> None:
    script = """
        set -e
        echo secret > /tmp/password
        export PGDATA=/tmp/cluster POSTGRES_PASSWORD_FILE=/tmp/password POSTGRES_DB=lab
        serve -c listen_addresses=127.0.0.1 > /tmp/log 2>&1 &
        for i in $(seq 300); do
            grep -q 'ready to accept' /tmp/log && PGPASSWORD=secret psql -h 127.0.0.1 -U postgres -d lab -Atc 'show jit' && break
            read -t 0.2 line < /dev/zero || true
        done
        kill $!
        wait $! || true
        cat /tmp/log >&2
    """
    done = opened["postgres"].run("bash", "-c", script)
    assert done.stdout == "off\n", done.stderr


@dataclass(frozen=True)
class Serving:
    """What a server is started with, where it listens, what it is asked and what its answer holds."""

    start: str
    port: int
    path: str
    answer: str


SERVERS = {
    "notebook": Serving("jupyter lab --no-browser --ip 127.0.0.1 --port 8888", 8888, "/api", '"version"'),
    "proxy": Serving("configurable-http-proxy --api-ip 127.0.0.1 --api-port 8001", 8001, "/api/routes", "200 OK"),
    "demo-institutions": Serving(
        "node /app/demo_institutions/server.mjs",
        9400,
        "/uni/.well-known/openid-configuration",
        '"authorization_endpoint"',
    ),
    # Without a configuration of the site nothing gets through.
    "egress": Serving("squid -N -f /etc/squid/squid.conf", 3128, "http://mirror.example/", "403 Forbidden"),
}
ASK = """
import socket, sys, time
end = time.monotonic() + 60
while True:
    try:
        connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=30)
        break
    except ConnectionRefusedError:
        if time.monotonic() > end:
            raise
        time.sleep(0.1)
connection.sendall(f"GET {sys.argv[2]} HTTP/1.0\\r\\nHost: localhost:{sys.argv[1]}\\r\\n\\r\\n".encode())
print(connection.makefile("rb").read().decode(errors="replace"))
"""


@pytest.mark.parametrize("name", SERVERS)
def test_it_serves_on_a_root_file_system_that_cannot_be_written(opened: dict[str, Opened], name: str) -> None:
    server = SERVERS[name]
    script = f"""
        {server.start} > /tmp/log 2>&1 &
        /usr/bin/python3.11 -c {shlex.quote(ASK)} {server.port} {server.path}
        kill $!
        wait $!
        cat /tmp/log >&2
    """
    done = opened[name].run("bash", "-c", script)
    assert server.answer in done.stdout, done.stderr
    assert "Read-only" not in done.stderr
    assert "Traceback" not in done.stderr
