"""The sample pages on a loopback server, with the static files of JupyterHub and of the lab beside them."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from jupyterhub._data import DATA_FILES_PATH

from kirzl_lab.look import CONTENT_SECURITY, STATIC
from tests.look.samples import PAGES, render

FOLDERS = {"/hub/static/": Path(DATA_FILES_PATH) / "static", "/hub/lab-static/": STATIC}
EVENTS = "".join(
    f"data: {event}\n\n"
    for event in (
        '{"progress": 0, "message": "Server requested"}',
        '{"progress": 50, "message": "Spawning server..."}',
    )
)


class SampleHandler(SimpleHTTPRequestHandler):
    """`/<language>/<page>` is a sample page under our Content-Security-Policy; the rest are static files."""

    def do_GET(self) -> None:
        language, _, name = self.path.strip("/").partition("/")
        if name in PAGES:
            self._answer("text/html; charset=utf-8", render(PAGES[name], language))
        elif self.path.endswith("/progress"):
            self._answer("text/event-stream", EVENTS)
        elif self.path.startswith(tuple(FOLDERS)):
            super().do_GET()
        else:
            self.send_error(404)

    def translate_path(self, path: str) -> str:
        """The file behind an address of a static file."""
        prefix = next(prefix for prefix in FOLDERS if path.startswith(prefix))
        return str(FOLDERS[prefix] / path.removeprefix(prefix).partition("?")[0])

    def log_message(self, *_args: Any) -> None:
        """Nobody reads it."""

    def _answer(self, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", CONTENT_SECURITY)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def sample_site() -> Iterator[str]:
    """The address of the samples, while the block runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SampleHandler))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
