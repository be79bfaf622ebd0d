"""A person's Jupyter server as a browser uses it: with the cookies of its own origin, files and kernels."""

import json
import secrets
from typing import Any

import httpx
import websocket

from tests.support.localhost import address

PATIENCE_S = 60.0


class CellError(Exception):
    """The cell raised; the message is the kernel's."""


class JupyterServer:
    """The server at `url`, without a slash at the end, seen by whoever `http` belongs to."""

    def __init__(self, http: httpx.Client, url: str) -> None:
        self.http = http
        self.url = httpx.URL(url)

    def open(self) -> httpx.Response:
        """The page that a person opens. The first time, it logs them in at this server."""
        return self.http.get(f"{self.url}/lab")

    def get(self, path: str) -> httpx.Response:
        """What its API answers to a script of its pages."""
        return self.http.get(f"{self.url}{path}", headers={"Referer": f"{self.url}/lab"})

    def answers(self) -> bool:
        """Whether its API lets this person in; they have opened it before."""
        try:
            return self.get("/api/status").status_code == 200
        except httpx.TransportError:
            return False

    def send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """A request that changes something, as a script of the server's pages would send it."""
        headers = {"X-XSRFToken": self._xsrf(), "Referer": f"{self.url}/lab"}
        return self.http.request(method, f"{self.url}{path}", headers=headers, json=body)

    def write(self, file: str, text: str) -> httpx.Response:
        """Save a text file."""
        return self.send("PUT", f"/api/contents/{file}", {"type": "file", "format": "text", "content": text})

    def read(self, file: str) -> str:
        """The content of a text file."""
        content: str = self.get(f"/api/contents/{file}").raise_for_status().json()["content"]
        return content

    def read_text(self, file: str) -> str:
        """The text of any file, a notebook's JSON as well."""
        return self.read(f"{file}?type=file&format=text")

    def run(self, code: str) -> str:
        """What a cell prints in a kernel of its own; raises `CellError` when the cell does."""
        kernel = self.send("POST", "/api/kernels", {"name": "python3"}).raise_for_status().json()["id"]
        try:
            return self._run(kernel, code)
        finally:
            self.send("DELETE", f"/api/kernels/{kernel}")

    def _run(self, kernel: str, code: str) -> str:
        session = secrets.token_hex(8)
        path = f"{self.url.path}/api/kernels/{kernel}/channels?session_id={session}"
        cookies = self.http.build_request("GET", f"{self.url}/").headers["Cookie"]
        channel = websocket.create_connection(
            f"ws://{address(self.url.host)}:{self.url.port}{path}",
            timeout=PATIENCE_S,
            host=self.url.netloc.decode(),
            origin=f"{self.url.scheme}://{self.url.netloc.decode()}",
            cookie=cookies,
        )
        try:
            asked = {"msg_id": secrets.token_hex(8), "msg_type": "execute_request", "session": session, "username": "", "version": "5.3"}  # fmt: skip
            content = {"code": code, "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}  # fmt: skip
            channel.send(json.dumps({"header": asked, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}))  # fmt: skip
            return _printed(channel, asked["msg_id"])
        finally:
            channel.close()

    def _xsrf(self) -> str:
        """The token of this server's own pages."""
        found = [
            cookie.value
            for cookie in self.http.cookies.jar
            if cookie.name == "_xsrf" and cookie.path == f"{self.url.path}/"
        ]
        assert found, "no XSRF cookie: open the server first"
        return found[-1] or ""


def _printed(channel: Any, asked: str) -> str:
    """What the kernel prints until it is idle again; Jupyter's messaging protocol, "iopub"."""
    text = ""
    while True:
        message = json.loads(channel.recv())
        if message["parent_header"].get("msg_id") != asked:
            continue
        kind, content = message["header"]["msg_type"], message["content"]
        if kind == "stream":
            text += content["text"]
        elif kind == "error":
            raise CellError(f"{content['ename']}: {content['evalue']}")
        elif kind == "status" and content["execution_state"] == "idle":
            return text
