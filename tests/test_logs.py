"""What a log line may hold, in both forms."""

import json
import logging
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kirzl_lab import logs

SECRET = "S3cret-value_0123456789"

LINES = {
    "OAuth answer": f"302 GET /hub/callback/uni?code={SECRET}&state={SECRET}&iss=http%3A%2F%2Fx -> /hub/home",
    "redirect": f"302 GET /hub/login/uni -> https://id.example/auth?client_id=kirzl-lab&nonce={SECRET}&state={SECRET}",
    "PKCE": f"/authorize?code_challenge={SECRET}&code_challenge_method=S256",
    "nested": f"/hub/login?next=%2Fhub%2Fapi%2Foauth2%2Fauthorize%3Fclient_id%3Ds%26state%3D{SECRET}%26x%3D1",
    "nested twice": f"/hub/login?next=%252Fa%253Fcode%253D{SECRET}%2526b%253D1",
    "fragment": f"https://x.example/#access_token={SECRET}&token_type=bearer",
    "search for a name": f"GET /services/lab/people?search={SECRET}",
    "headers as JupyterHub logs them": json.dumps({"X-Xsrftoken": SECRET, "Cookie": f"a={SECRET}"}, indent=2),
    "bearer": f"Illegal header value b'Bearer {SECRET}'",
    "JupyterHub's token": f"Authorization: token {SECRET}",
    "JWT": f"refused eyJhbGciOiJSUzI1NiJ9.{SECRET}.{SECRET}",
    "database address": f"cannot connect to postgresql+psycopg://lab:{SECRET}@postgres:5432/lab",
    "row of a database": f"duplicate key value\nDETAIL:  Key (issuer, subject)=(https://x, {SECRET}) already exists.",
    "xsrf cookie": f"Setting new xsrf cookie for b'{SECRET}:0bb92a17' {{'path': '/hub/'}}",
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_secrets_are_hidden(line: str) -> None:
    assert SECRET not in logs.clean(line)
    assert logs.HIDDEN in logs.clean(line)


@pytest.mark.parametrize(
    "address", ["student.one+lab@uni.example", "student1%40uni.example", "student1%2540uni.example"]
)
def test_mail_addresses_are_hidden(address: str) -> None:
    assert logs.clean(f"unknown person {address}, asked twice") == "unknown person [e-mail], asked twice"


@pytest.mark.parametrize(
    "line",
    [
        "302 POST /hub/start -> /hub/spawn-pending/kgq5z443p/ml-101 (kgq5z443p@127.0.0.1) 1026.44ms",
        "200 GET /hub/home?page=2 (kgq5z443p@::1) 3ms",
        "Adding service lab to proxy /services/lab/ => http://127.0.0.1:55599",
        "The token of the service is missing",
    ],
)
def test_everything_else_is_left_as_it_is(line: str) -> None:
    assert logs.clean(line) == line


@given(
    name=st.sampled_from(["code", "state", "nonce", "_xsrf", "id_token_hint", "client_secret", "login_hint", "apikey"]),
    value=st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=6, max_size=80),
    times=st.integers(0, 3),
)
def test_a_secret_is_hidden_however_deep_it_lies(name: str, value: str, times: int) -> None:
    address = f"/somewhere?first=1&{name}={value}&last=1"
    for _ in range(times):
        address = f"/hub/login?next={quote(address, safe='')}"
    cleaned = logs.clean(f"302 GET {address} (x@127.0.0.1) 1.00ms")
    assert value not in cleaned.replace("%", "").replace("/hub/login?next=", "").replace(name, "")
    assert cleaned.endswith("(x@127.0.0.1) 1.00ms")


@given(st.text(max_size=300))
@example("\ud800 half a character")
@example('{"level": "info"}\n{"forged": true}')
@example("?" * 300)
def test_a_message_is_one_object_on_one_line(message: str) -> None:
    record = logging.LogRecord("JupyterHub", logging.WARNING, "/x/log.py", 192, "%s", (message,), None)
    line = logs.JsonFormatter().format(record)
    line.encode("ascii")
    assert len(line.splitlines()) == 1
    read = json.loads(line)
    assert (read["level"], read["logger"], read["where"]) == ("warning", "JupyterHub", "log:192")
    assert read["message"] == logs.clean(message)
    assert set(read) == {"time", "level", "logger", "where", "message"}


def test_a_trace_is_one_field_and_clean() -> None:
    try:
        raise ValueError(f"cannot ask https://id.example/token?code={SECRET}")
    except ValueError as error:
        record = logging.LogRecord(
            "x", logging.ERROR, "x.py", 1, "It failed", (), (type(error), error, error.__traceback__)
        )
    read = json.loads(logs.JsonFormatter().format(record))
    assert read["trace"].startswith("Traceback") and "ValueError" in read["trace"]
    assert SECRET not in read["trace"]


@pytest.mark.parametrize("given", ["0a1b2c3d", "2f1c7b5e-8c1d-4c5e-9d5e-0a1b2c3d4e5f", "f" * 64, "Root_1-67891233-abc"])
def test_a_well_formed_id_is_taken_over(given: str) -> None:
    assert logs.begin(given) == given == logs.request_id()


@pytest.mark.parametrize(
    "given",
    [None, "", "short", "f" * 65, "with space", "a\nforged: line", "x" * 8 + "\n", "ümlaut-ümlaut", "-leading-1"],
)
def test_another_one_is_replaced(given: str | None) -> None:
    made = logs.begin(given)
    assert made != given
    assert logs.REQUEST_ID.fullmatch(made)
    assert logs.begin(given) != made


def test_a_line_says_for_which_request_and_about_whom() -> None:
    formatter = logs.JsonFormatter()
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, "Hello", (), None)
    logs.begin("request-0001")
    logs.about("kgq5z443p")
    read = json.loads(formatter.format(record))
    assert (read["request_id"], read["hub_name"]) == ("request-0001", "kgq5z443p")
    logs.begin("request-0002")  # the next request on the same connection is somebody else's
    assert "hub_name" not in json.loads(formatter.format(record))


@pytest.fixture
def root_as_before() -> Iterator[None]:
    root, uvicorn = logging.getLogger(), logging.getLogger("uvicorn")
    kept = root.handlers[:], root.level, uvicorn.handlers[:], uvicorn.level, uvicorn.propagate
    yield
    root.handlers[:], root.level, uvicorn.handlers[:], uvicorn.level, uvicorn.propagate = kept
    logging.captureWarnings(False)


@pytest.mark.usefixtures("root_as_before")
@pytest.mark.parametrize("cluster", [True, False])
def test_every_logger_of_a_process_writes_one_form(cluster: bool, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure({"KIRZL_LAB_CLUSTER": "/etc/cluster.json"} if cluster else {})
    for name in ("kirzl_lab.service", "uvicorn.error", "sqlalchemy.pool"):
        logging.getLogger(name).warning("GET /x?code=%s", SECRET)
    logging.getLogger("uvicorn.access").info("nobody reads this")
    written = capsys.readouterr().err
    assert SECRET not in written
    lines = written.splitlines()
    assert len(lines) == 3
    messages = (
        [json.loads(line)["message"] for line in lines] if cluster else [line.split(": ", 1)[1] for line in lines]
    )
    assert messages == ["GET /x?code=[secret]"] * 3


def test_long_lines_take_no_time() -> None:
    """Whoever sends a request may make its line 64 KiB long; the hub formats it on its event loop."""
    for piece in ("?code", "%3Fcode", "%25", "eyJ", "-eyJ", "a@", "a.", "?a%3D", "://a:", "token ", '"cookie": "'):
        logs.clean(piece * (65536 // len(piece)))  # quadratic patterns take minutes here
