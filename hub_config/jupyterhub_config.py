"""JupyterHub's configuration file. What a site decides is in the YAML files beside it."""

from kirzl_lab.hub.wiring import configure

configure(get_config())  # type: ignore[name-defined]  # noqa: F821 - JupyterHub provides it
