"""Nothing of the hub's environment that is not on the list reaches a server."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirzl_lab.catalog.models import Role
from kirzl_lab.spawning import server_environment
from kirzl_lab.spawning.choice import Purpose
from tests.spawning.samples import CHOICE

HOME = Path("/lab/homes/bcd234/ml-101/work")
SERVICE = "http://127.0.0.1:8002/services/lab/"


@given(st.dictionaries(st.text(min_size=1), st.text(min_size=3).map(lambda text: f"secret-{text}")))
def test_no_value_of_the_hub_gets_through_but_its_path(hub: dict[str, str]) -> None:
    hub.pop("PATH", None)
    given_to_server = server_environment.of(CHOICE, HOME, "/hub/home", SERVICE, hub)
    assert not set(hub.values()) & set(given_to_server.values())


def test_the_kept_variables_hold_no_secret() -> None:
    words = ("KEY", "TOKEN", "SECRET", "PASSWORD", "DATABASE", "PROXY", "KIRZL", "JUPYTERHUB")
    assert [name for name in server_environment.KEPT for word in words if word in name] == []


def test_all_settings_of_jupyter_and_ipython_are_in_the_home() -> None:
    given_to_server = server_environment.of(CHOICE, HOME, "/hub/home", SERVICE, {"PATH": "/bin"})
    for name in ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        assert Path(given_to_server[name]).is_relative_to(HOME)


def test_programs_of_the_running_python_come_first_and_once() -> None:
    own = str(Path(sys.executable).parent)
    path = server_environment.of(CHOICE, HOME, "/hub/home", SERVICE, {"PATH": f"/bin:{own}"})["PATH"]
    assert path.split(os.pathsep) == [own, "/bin"]


def test_jupyter_reads_our_configuration_and_nobody_elses(tmp_path: Path) -> None:
    (tmp_path / "machine" / ".jupyter").mkdir(parents=True)
    env = server_environment.of(CHOICE, tmp_path / "home", "/hub/home", SERVICE, os.environ)
    code = "from jupyter_core.paths import *; print(*jupyter_config_path(), *jupyter_path(), sep='\\n')"
    found = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
    folders = found.splitlines()
    assert folders.count(str(server_environment.JUPYTER)) == 2
    assert not [folder for folder in folders if folder.startswith(str(Path.home() / "."))]


def test_where_servers_find_the_lab_service() -> None:
    address = server_environment.service_address
    assert address("http://service:8080", "/hub/") == "http://service:8080/services/lab/"
    assert address("http://service:8080/", "/jupyter/hub/") == "http://service:8080/jupyter/services/lab/"
    assert server_environment.everywhere(CHOICE, HOME, "/hub/home", SERVICE)["KIRZL_LAB_SERVICE_URL"] == SERVICE


@pytest.mark.parametrize(
    ("role", "purpose", "told"), [("student", "work", ""), ("assistant", "work", "1"), ("instructor", "preview", "")]
)
def test_a_server_knows_whether_it_is_one_of_those_who_run_the_space(role: str, purpose: Purpose, told: str) -> None:
    choice = replace(CHOICE, role=Role(role), purpose=purpose)
    assert server_environment.everywhere(choice, HOME, "/hub/home", SERVICE)["KIRZL_LAB_STAFF"] == told
