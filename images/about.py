"""What images say about the lab: its version, and where its source is, both from pyproject.toml."""

import tomllib
from pathlib import Path

from images.plan import REPOSITORY

PREFIX = "org.opencontainers.image."


def version(repository: Path = REPOSITORY) -> str:
    """The lab's version."""
    return str(_project(repository)["version"])


def about(repository: Path = REPOSITORY) -> dict[str, str]:
    """Labels that are the same for all images; `source` is there once the project names an address of its own."""
    project = _project(repository)
    urls = project.get("urls", {})
    source = {f"{PREFIX}source": str(urls["Source"])} if isinstance(urls, dict) and "Source" in urls else {}
    return {f"{PREFIX}version": str(project["version"]), f"{PREFIX}licenses": "BSD-3-Clause", **source}


def _project(repository: Path) -> dict[str, object]:
    project: dict[str, object] = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project
