"""Loaded by every server: in the server of a course nbgrader's front ends, with handlers of ours where those matter.

nbgrader's own server extensions are switched off by `jupyter_server_config.d/kirzl_lab.json`: they block the server
while they wait, and show students words about directories. Nothing of nbgrader is imported before somebody asks for it.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

from kirzl_lab.courses.in_server.configuration import for_staff, in_course

FRONT_END = "@jupyter/nbgrader"
FOR_STAFF = (f"{FRONT_END}:formgrader", f"{FRONT_END}:create-assignment")

PageConfigHook = Callable[[Any, dict[str, Any]], dict[str, Any]]


def hidden(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The plugins of JupyterLab that pages of this server do without."""
    if not in_course(environment):
        return (FRONT_END,)
    return () if for_staff(environment) else FOR_STAFF


def without(plugins: tuple[str, ...], hook: PageConfigHook | None) -> PageConfigHook:
    """The hook for the page configuration, which also switches `plugins` off."""

    def hooked(handler: Any, config: dict[str, Any]) -> dict[str, Any]:
        config = hook(handler, config) if hook else config
        disabled = config.get("disabledExtensions", [])
        return config | {"disabledExtensions": [*disabled, *(name for name in plugins if name not in disabled)]}

    return hooked


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "kirzl_lab.courses.in_server.extension"}]


def _load_jupyter_server_extension(server: Any) -> None:
    settings = server.web_app.settings
    settings["page_config_hook"] = without(hidden(os.environ), settings.get("page_config_hook"))
    if not in_course(os.environ):
        return
    from kirzl_lab.courses.in_server import formgrader, handlers, loading, sync  # noqa: PLC0415 - they need Jupyter Server

    loading.before_threads()
    handlers.install(server, os.environ)
    if for_staff(os.environ):
        formgrader.install(server, os.environ)
        sync.begin(server, os.environ)
