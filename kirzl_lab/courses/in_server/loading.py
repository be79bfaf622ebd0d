"""nbgrader comes into a server once, when somebody first needs it, in a thread.

Two threads that import it at the same moment can each get half of it, and then neither has it until the server ends:
its packages, and those of nbconvert, import each other in circles (CPython gives up waiting where imports would wait
for each other for ever). So there is one lock here, and nbconvert, which Jupyter's own pages import in the main thread,
is there before.
"""

import threading

_lock = threading.Lock()


def before_threads() -> None:
    """Called in the main thread while the server starts; a tenth of a second."""
    import nbconvert.exporters  # noqa: F401, PLC0415 - in servers of courses alone


def load() -> None:
    """Import nbgrader with formgrader unless it is there. Half a second or more: for a thread."""
    with _lock:
        import nbgrader  # noqa: PLC0415
        import nbgrader.server_extensions.formgrader.formgrader  # noqa: F401, PLC0415
