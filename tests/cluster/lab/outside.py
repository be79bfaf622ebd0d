"""The server of `internet.py`: a package index with one package, and for every other path what was asked, as JSON.

`outside.py [CERTIFICATE KEY]` serves http on ports 80 and 8080, and TLS on 443 when it has a certificate.
"""

import io
import json
import ssl
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WHEEL = "tinylab-1.0-py3-none-any.whl"


def wheel() -> bytes:
    """The smallest thing that pip installs: a module that knows the answer."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("tinylab.py", "answer = 42\n")
        archive.writestr("tinylab-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tinylab\nVersion: 1.0\n")
        archive.writestr(
            "tinylab-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("tinylab-1.0.dist-info/RECORD", "tinylab.py,,\n")
    return content.getvalue()


class Outside(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/simple/tinylab/":
            self._answer(f'<a href="/files/{WHEEL}">{WHEEL}</a>'.encode(), "text/html")
        elif self.path == f"/files/{WHEEL}":
            self._answer(wheel(), "application/octet-stream")
        else:
            asked = {"path": self.path, "from": self.client_address[0], "headers": dict(self.headers)}
            self._answer(json.dumps(asked).encode(), "application/json")

    do_POST = do_GET  # noqa: N815 - the same

    def _answer(self, content: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing: standard output belongs to the fixture."""


def main(*files: str) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    servers = [ThreadingHTTPServer(("", port), Outside) for port in (80, 443, 8080)]
    if files:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*files)
        servers[1].socket = context.wrap_socket(servers[1].socket, server_side=True, do_handshake_on_connect=False)
    for server in servers[1:]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("listens", flush=True)
    servers[0].serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
