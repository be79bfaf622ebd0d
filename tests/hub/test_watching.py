"""The hub's log and the ids of its requests, on a real Tornado."""

import json
import logging
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from jupyterhub.app import JupyterHub
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from kirzl_lab import logs
from kirzl_lab.hub.watching import METRICS_TOKEN, HubFormatter, RequestId, watch

LINE = "302 GET /hub/login/uni -> https://id.example/auth?state=[secret]&nonce=S3cret (@127.0.0.1) 9.28ms"


class Tells(RequestHandler):
    """Answers with the id that it sees."""

    async def get(self) -> None:
        if self.get_query_argument("fail", ""):
            raise KeyError("ours")
        logs.about("kgq5z443p")
        self.finish(logs.request_id())


@pytest.fixture
async def url() -> AsyncIterator[str]:
    (socket,) = bind_sockets(0, "127.0.0.1")
    server = HTTPServer(Application([(r"/", Tells)], transforms=[RequestId]))
    server.add_sockets([socket])
    yield f"http://127.0.0.1:{socket.getsockname()[1]}/"
    server.stop()


async def test_a_request_keeps_its_id(url: str) -> None:
    answer = await AsyncHTTPClient().fetch(url, headers={logs.HEADER: "request-0001"})
    assert answer.body == b"request-0001"
    assert answer.headers[logs.HEADER] == "request-0001"


async def test_a_request_without_one_gets_one_of_its_own(url: str) -> None:
    client = AsyncHTTPClient()
    one, other = await client.fetch(url), await client.fetch(url, headers={logs.HEADER: "no id at all"})
    for answer in (one, other):
        assert logs.REQUEST_ID.fullmatch(answer.body.decode())
        assert answer.headers[logs.HEADER] == answer.body.decode()
    assert one.body != other.body


@pytest.mark.parametrize("address", ["?fail=1", "nowhere"])
async def test_errors_have_an_id_too(url: str, address: str) -> None:
    answer = await AsyncHTTPClient().fetch(url + address, headers={logs.HEADER: "request-0001"}, raise_error=False)
    assert answer.code >= 400
    assert answer.headers[logs.HEADER] == "request-0001"


def configured(environment: dict[str, str]) -> Any:
    """JupyterHub's configuration after `watch`."""
    hub = SimpleNamespace(tornado_settings={"headers": {}}, services=[], load_roles=[])
    c = SimpleNamespace(JupyterHub=hub)
    watch(c, environment)
    return c.JupyterHub


def written(environment: dict[str, str]) -> str:
    """How JupyterHub writes a line with that configuration."""
    app = JupyterHub()
    app.logging_config = configured(environment).logging_config
    handlers = logging.getLogger("JupyterHub").handlers
    JupyterHub.clear_instance()
    record = logging.LogRecord("JupyterHub", logging.INFO, "/x/log.py", 192, LINE, (), None)
    return handlers[0].format(record)


@pytest.fixture(autouse=True)
def loggers_as_before() -> Iterator[None]:
    kept = {name: logging.getLogger(name).handlers[:] for name in ("", "JupyterHub")}
    level = logging.getLogger().level
    yield
    for name, handlers in kept.items():
        logging.getLogger(name).handlers[:] = handlers
    logging.getLogger().setLevel(level)
    logging.captureWarnings(False)


def test_on_a_laptop_lines_are_jupyterhubs_without_secrets() -> None:
    line = written({})
    assert line.startswith("[I ") and " JupyterHub log:192] 302 GET /hub/login/uni" in line
    assert "S3cret" not in line


def test_in_a_cluster_lines_are_json_without_secrets() -> None:
    read = json.loads(written({"KIRZL_LAB_CLUSTER": "/etc/kirzl-lab/cluster.json"}))
    assert read["message"] == LINE.replace("S3cret", logs.HIDDEN)
    assert (read["level"], read["logger"], read["where"]) == ("info", "JupyterHub", "log:192")


def test_traces_are_clean_too() -> None:
    try:
        raise ValueError("GET https://id.example/token?code=S3cret")
    except ValueError as error:
        record = logging.LogRecord(
            "x", logging.ERROR, "x.py", 1, "failed", (), (type(error), error, error.__traceback__)
        )
    formatted = HubFormatter(fmt="%(message)s").format(record)
    assert "ValueError" in formatted
    assert "S3cret" not in formatted


def test_prometheus_may_read_metrics_and_nothing_else() -> None:
    hub = configured({METRICS_TOKEN: "0" * 64})
    assert hub.services == [{"name": "metrics", "api_token": "0" * 64, "display": False}]
    assert hub.load_roles == [{"name": "metrics", "services": ["metrics"], "scopes": ["read:metrics"]}]
    assert hub.tornado_settings["transforms"] == [RequestId]


def test_without_a_token_nobody_may() -> None:
    assert configured({}).services == configured({}).load_roles == []
