"""nbgrader's configuration in the lab's servers: what it says depends on the server's environment."""

import os

from kirzl_lab.courses.in_server.configuration import configure

configure(get_config(), os.environ)  # type: ignore[name-defined]  # noqa: F821 - traitlets provides it
