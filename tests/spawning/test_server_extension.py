"""What JupyterLab's page gets to know of its server."""

import json
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from kirzl_lab.spawning import server_environment, server_extension
from tests.spawning.samples import CHOICE


def handler(language: str | None) -> Any:
    return SimpleNamespace(get_cookie=lambda name, default: default if language is None else language)


def test_every_variable_is_one_that_the_spawner_sets() -> None:
    from pathlib import Path

    environment = server_environment.of(CHOICE, Path("/home"), "/hub/home", "http://127.0.0.1:8002/services/lab/", {})
    assert set(server_extension.VARIABLES.values()) <= set(environment)
    assert server_extension.page_config(environment) == {
        "kirzlSpaceTitleDe": "Maschinelles Lernen",
        "kirzlSpaceTitleEn": "Machine learning",
        "kirzlSizeTitleDe": "Klein",
        "kirzlSizeTitleEn": "Small",
        "kirzlPurpose": "work",
        "kirzlHomeUrl": "/hub/home",
        "kirzlIdleHours": "2",
    }


@pytest.mark.parametrize(("cookie", "language"), [("de", "de"), ("en", "en"), (None, ""), ("<script>", "")])
def test_the_language_chosen_in_the_lab(cookie: str | None, language: str) -> None:
    hook = server_extension.with_language(lambda _handler, config: config | {"hubUser": "student1"})
    assert hook(handler(cookie), {"a": 1}) == {"a": 1, "hubUser": "student1", "kirzlLanguage": language}


def test_it_works_without_another_hook() -> None:
    assert server_extension.with_language(None)(handler("de"), {}) == {"kirzlLanguage": "de"}


def test_the_page_reads_only_keys_that_are_there() -> None:
    folder = server_environment.JUPYTER / "labextensions/@kirzl/lab"
    package = json.loads((folder / "package.json").read_text())
    script = (folder / package["jupyterlab"]["_build"]["load"]).read_text()
    assert f"window._JUPYTERLAB['{package['name']}']" in script
    for key in server_extension.VARIABLES:
        assert key.removesuffix("De").removesuffix("En") in script


def test_every_file_of_ours_is_json_and_switches_the_network_off() -> None:
    files = {file.name: json.loads(file.read_text()) for file in server_environment.JUPYTER.rglob("*.json")}
    assert files["jupyter_lab_config.json"]["LabApp"] == {"extension_manager": "readonly", "news_url": None}
    assert files["page_config.json"]["disabledExtensions"]["@jupyterlab/apputils-extension:announcements"]


def test_it_imports_nothing_heavy() -> None:
    code = "import sys; before = set(sys.modules); import kirzl_lab.spawning.server_extension; print(*(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pydantic", "jupyterhub", "tornado", "sqlalchemy"} & {name.split(".")[0] for name in loaded}
