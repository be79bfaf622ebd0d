"""Runs inside a person's server: tells JupyterLab which space and size this is, and the way back; ends it for lack of work.

Jupyter Server loads extensions in the order of their names, so JupyterHub's and JupyterLab's own are there before it.
It imports nothing that is not there already, so that a server starts as fast with it as without.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

VARIABLES: Mapping[str, str] = {
    "kirzlSpaceTitleDe": "KIRZL_LAB_SPACE_TITLE_DE",
    "kirzlSpaceTitleEn": "KIRZL_LAB_SPACE_TITLE_EN",
    "kirzlSizeTitleDe": "KIRZL_LAB_SIZE_TITLE_DE",
    "kirzlSizeTitleEn": "KIRZL_LAB_SIZE_TITLE_EN",
    "kirzlPurpose": "KIRZL_LAB_PURPOSE",
    "kirzlHomeUrl": "KIRZL_LAB_HOME_URL",
    "kirzlIdleHours": "KIRZL_LAB_IDLE_HOURS",
}
"""Key of JupyterLab's page configuration -> environment variable. The extension in the page reads the keys."""

LANGUAGE_COOKIE = "kirzl-lab-language"
"""Set by the lab's pages when somebody switches the language."""

PageConfigHook = Callable[[Any, dict[str, Any]], dict[str, Any]]


def page_config(environment: Mapping[str, str]) -> dict[str, str]:
    """What the page gets to know of the server."""
    return {key: environment.get(variable, "") for key, variable in VARIABLES.items()}


def with_language(hook: PageConfigHook | None) -> PageConfigHook:
    """The hook for the page configuration, which also tells the language that the person chose in the lab."""

    def hooked(handler: Any, config: dict[str, Any]) -> dict[str, Any]:
        config = hook(handler, config) if hook else config
        chosen = handler.get_cookie(LANGUAGE_COOKIE, "")
        return config | {"kirzlLanguage": chosen if chosen in ("de", "en") else ""}

    return hooked


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "kirzl_lab.spawning.server_extension"}]


def _load_jupyter_server_extension(server: Any) -> None:
    settings = server.web_app.settings
    settings.setdefault("page_config_data", {}).update(page_config(os.environ))
    settings["page_config_hook"] = with_language(settings.get("page_config_hook"))
    from kirzl_lab.spawning import idle  # noqa: PLC0415 - needs Jupyter Server, which has been imported by now

    idle.install(server, os.environ)
