"""The demo institutions as a real process: every account logs in by the code flow, and what must be refused is."""

import csv
import json
import os
import re
import shutil
import socket
import stat
import subprocess
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from secrets import token_urlsafe
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
SERVER = ROOT / "tools" / "demo_institutions" / "server.mjs"
INSTITUTIONS: dict[str, Any] = json.loads(SERVER.with_name("accounts.json").read_text("utf-8"))
ACCOUNTS = [(name, login) for name, institution in INSTITUTIONS.items() for login in institution["accounts"]]

pytestmark = pytest.mark.node


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(*options: str) -> list[str]:
    node = shutil.which("node")
    assert node, "Node.js is not on the PATH"
    return [node, str(SERVER), *options]


@dataclass
class Demo:
    """Running demo institutions."""

    base: str
    process: subprocess.Popen[str]
    announced: dict[str, Any]

    def stop(self) -> str:
        """End the process; gives what it wrote to stderr."""
        self.process.terminate()
        return self.process.communicate(timeout=10)[1]


def start(keys: Path, *more: str, **environment: str) -> Demo:
    port = free_port()
    base = f"http://localhost:{port}"
    options = ["--base-url", base, "--port", str(port), "--keys", str(keys), *more]
    options += ["--redirect-base", "http://localhost:8000", "--redirect-base", "http://lab.localhost:8000"]
    process = subprocess.Popen(
        command(*options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stdout
    line = process.stdout.readline()
    assert line, process.communicate()[1]
    return Demo(base, process, json.loads(line))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    demo = start(tmp_path_factory.mktemp("demo") / "keys.json")
    yield demo
    assert demo.stop() == "", "nothing is written to stderr while all goes well"


@pytest.fixture
def browser() -> Iterator[httpx.Client]:
    with httpx.Client(headers={"accept": "text/html"}) as client:
        yield client


@dataclass
class Flow:
    """One authorization request of the lab at a demo institution, as a browser and the hub walk it."""

    demo: Demo
    browser: httpx.Client
    institution: str
    scope: str = "openid profile email"

    def __post_init__(self) -> None:
        self.verifier = token_urlsafe(48)
        self.query = {
            "client_id": "kirzl-lab",
            "response_type": "code",
            "scope": self.scope,
            "redirect_uri": f"http://localhost:8000/hub/callback/{self.institution}",
            "state": token_urlsafe(),
            "nonce": token_urlsafe(),
            "code_challenge": urlsafe_b64encode(sha256(self.verifier.encode()).digest()).decode().rstrip("="),
            "code_challenge_method": "S256",
        }

    @property
    def issuer(self) -> str:
        return f"{self.demo.base}/{self.institution}"

    def begin(self, **changes: str) -> httpx.Response:
        return self.browser.get(f"{self.issuer}/auth", params={**self.query, **changes}, follow_redirects=True)

    def answer(self, page: httpx.Response, **form: str) -> dict[str, str]:
        """Post the login form; gives the parameters with which the browser is sent back to the lab."""
        response = self.browser.post(page.url, data=form)
        while response.headers["location"].startswith(self.demo.base):
            response = self.browser.get(response.headers["location"])
        target = urlsplit(response.headers["location"])
        assert target.geturl().startswith(self.query["redirect_uri"] + "?")
        return {key: values[0] for key, values in parse_qs(target.query).items()}

    def exchange(self, code: str, **changes: str) -> httpx.Response:
        institution = INSTITUTIONS[self.institution]
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.query["redirect_uri"],
            "code_verifier": self.verifier,
            "client_id": "kirzl-lab",
        }
        if secret := institution.get("client_secret"):
            del form["client_id"]
            return httpx.post(f"{self.issuer}/token", data=form | changes, auth=("kirzl-lab", secret["default"]))
        return httpx.post(f"{self.issuer}/token", data=form | changes)

    def claims(self, id_token: str) -> dict[str, Any]:
        keys = KeySet.import_key_set(httpx.get(f"{self.issuer}/jwks").json())
        token = jwt.decode(id_token, keys, algorithms=["RS256"])
        assert token.header["alg"] == "RS256"
        return dict(token.claims)


@pytest.mark.parametrize(("institution", "login"), ACCOUNTS)
def test_every_account_logs_in(demo: Demo, browser: httpx.Client, institution: str, login: str) -> None:
    flow = Flow(demo, browser, institution)
    sent_back = flow.answer(flow.begin(), login=login, password=login)
    assert sent_back["iss"] == flow.issuer, "RFC 9207"
    assert sent_back["state"] == flow.query["state"]

    tokens = flow.exchange(sent_back["code"]).raise_for_status().json()
    claims = flow.claims(tokens["id_token"])
    account = INSTITUTIONS[institution]["accounts"][login]
    domain = INSTITUTIONS[institution]["domain"]
    assert claims["iss"] == flow.issuer
    assert claims["aud"] == "kirzl-lab"
    assert claims["nonce"] == flow.query["nonce"]
    expected = {
        "sub": login,
        "preferred_username": login,
        "name": f"{account['title']['en']} ({INSTITUTIONS[institution]['title']['en']})",
        "email": f"{login}@{domain}",
        "email_verified": True,
        "matriculation_number": account.get("matriculation_number"),
        "eduperson_scoped_affiliation": [f"{one}@{domain}" for one in account.get("affiliations", [])] or None,
    }
    assert {key: claims.get(key) for key in expected} == expected

    bearer = {"authorization": f"Bearer {tokens['access_token']}"}
    said = httpx.get(f"{flow.issuer}/me", headers=bearer).raise_for_status().json()
    assert {key: said.get(key) for key in expected} == expected


@pytest.mark.parametrize("institution", INSTITUTIONS)
def test_discovery_names_one_address_whatever_name_was_asked(demo: Demo, institution: str) -> None:
    path = f"/{institution}/.well-known/openid-configuration"
    there = httpx.get(demo.base + path).json()
    assert there["issuer"] == demo.announced["issuers"][institution] == f"{demo.base}/{institution}"
    assert there["code_challenge_methods_supported"] == ["S256"]
    assert there["authorization_response_iss_parameter_supported"] is True
    assert httpx.get(demo.announced["listening"] + path).json() == there


def test_one_click_logs_in(demo: Demo, browser: httpx.Client) -> None:
    flow = Flow(demo, browser, "uni")
    page = flow.begin()
    assert 'name="account" value="student1"' in page.text
    claims = flow.claims(flow.exchange(flow.answer(page, account="student1")["code"]).json()["id_token"])
    assert claims["sub"] == "student1"


def test_a_whole_class_can_log_in_with_one_click_and_leaves_room_for_the_form(
    demo: Demo, browser: httpx.Client
) -> None:
    page = Flow(demo, browser, "uni").begin()
    offered = re.findall(r'name="account" value="(\w+)"', page.text)
    assert offered == list(INSTITUTIONS["uni"]["accounts"])
    assert {f"student{number}" for number in range(1, 31)} <= set(offered)
    at_once = re.findall(r'name="account" value="(\w+)"', page.text.partition("<details>")[0])
    assert at_once == offered[:8]


def test_asks_for_login_each_time_and_takes_another_account(demo: Demo, browser: httpx.Client) -> None:
    first, second = Flow(demo, browser, "uni"), Flow(demo, browser, "uni")
    first.answer(first.begin(), account="student1")
    page = second.begin()
    assert 'name="password"' in page.text
    claims = second.claims(second.exchange(second.answer(page, account="student2")["code"]).json()["id_token"])
    assert claims["sub"] == "student2"
    none = Flow(demo, browser, "uni")
    response = browser.get(f"{none.issuer}/auth", params={**none.query, "prompt": "none"})
    assert "error=login_required" in response.headers["location"]


def test_two_logins_at_two_institutions_side_by_side(demo: Demo, browser: httpx.Client) -> None:
    uni, uas = Flow(demo, browser, "uni"), Flow(demo, browser, "uas")
    page_of_uni, page_of_uas = uni.begin(), uas.begin()
    from_uas = uas.answer(page_of_uas, account="student1")
    from_uni = uni.answer(page_of_uni, account="student1")
    assert (from_uni["iss"], from_uas["iss"]) == (uni.issuer, uas.issuer)
    assert uas.exchange(from_uni["code"]).json()["error"] == "invalid_grant"
    assert uas.exchange(from_uas["code"]).is_success


def test_cancel_is_access_denied(demo: Demo, browser: httpx.Client) -> None:
    flow = Flow(demo, browser, "startups")
    assert flow.answer(flow.begin(), cancel="yes")["error"] == "access_denied"


def test_refresh_token_only_when_asked_for(demo: Demo, browser: httpx.Client) -> None:
    flow = Flow(demo, browser, "uni")
    assert "refresh_token" not in flow.exchange(flow.answer(flow.begin(), account="lecturer")["code"]).json()
    offline = Flow(demo, browser, "uni", scope="openid email offline_access")
    code = offline.answer(offline.begin(prompt="consent"), account="lecturer")["code"]
    refresh = {"grant_type": "refresh_token", "refresh_token": offline.exchange(code).json()["refresh_token"]}
    renewed = offline.exchange("", **refresh).raise_for_status().json()
    assert offline.claims(renewed["id_token"])["sub"] == "lecturer"


@pytest.mark.parametrize(
    "form",
    [
        {"login": "student1", "password": "wrong"},
        {"login": "student1", "password": ""},
        {"login": "nobody", "password": "nobody"},
        {"login": "__proto__", "password": "__proto__"},
        {"account": "founder"},
        {"account": "constructor"},
        {},
    ],
)
def test_wrong_logins_stay_on_the_form(demo: Demo, browser: httpx.Client, form: dict[str, str]) -> None:
    page = Flow(demo, browser, "uni").begin()
    again = browser.post(page.url, data=form)
    assert again.status_code == 422
    assert 'role="alert"' in again.text


@pytest.mark.parametrize(
    "redirect",
    [
        "http://localhost:8000/hub/callback/uas",
        "http://localhost:8001/hub/callback/uni",
        "http://localhost:8000/hub/callback/uni/..",
        "https://lab.example/hub/callback/uni",
    ],
)
def test_wrong_redirect_is_refused_on_a_page(demo: Demo, browser: httpx.Client, redirect: str) -> None:
    response = Flow(demo, browser, "uni").begin(redirect_uri=redirect)
    assert response.status_code == 400
    assert "redirect_uri" in response.text


def test_pkce_is_required(demo: Demo, browser: httpx.Client) -> None:
    flow = Flow(demo, browser, "uas")
    for challenge in ({"code_challenge": ""}, {"code_challenge_method": "plain"}):
        response = browser.get(f"{flow.issuer}/auth", params={**flow.query, **challenge})
        assert "error=invalid_request" in response.headers["location"]
    code = flow.answer(flow.begin(), account="lecturer")["code"]
    assert flow.exchange(code, code_verifier=token_urlsafe(48)).json()["error"] == "invalid_grant"


def test_secret_of_the_university_of_applied_sciences(tmp_path: Path, browser: httpx.Client) -> None:
    demo = start(tmp_path / "keys.json", KIRZL_LAB_UAS_SECRET="another secret")
    try:
        flow = Flow(demo, browser, "uas")
        code = flow.answer(flow.begin(), account="lecturer")["code"]
        assert flow.exchange(code).status_code == 401
    finally:
        demo.stop()


def test_an_old_login_page_says_so(demo: Demo, browser: httpx.Client) -> None:
    flow = Flow(demo, browser, "uni")
    page = flow.begin()
    flow.answer(page, account="student1")
    again = browser.get(page.url, headers={"accept-language": "de-DE"})
    assert again.status_code == 400
    assert "zu alt" in again.text


@pytest.mark.parametrize(
    ("header", "lang"),
    [
        ("de-DE,de;q=0.9,en;q=0.8", "de"),
        ("fr, en;q=0.4, de;q=0.5", "de"),
        ("en-GB", "en"),
        ("fr", "en"),
        (",;q=x", "en"),
    ],
)
def test_speaks_german_and_english(demo: Demo, browser: httpx.Client, header: str, lang: str) -> None:
    browser.headers["accept-language"] = header
    assert f'<html lang="{lang}">' in Flow(demo, browser, "uni").begin().text


def test_what_a_form_says_is_escaped(demo: Demo, browser: httpx.Client) -> None:
    page = Flow(demo, browser, "uni").begin(login_hint='"><script>alert(1)</script>')
    assert "<script" not in page.text
    assert "&quot;&gt;&lt;script&gt;" in page.text


@pytest.mark.parametrize("path", ["/", "/uni", "/nobody/auth", "/constructor/auth", "//uni/auth"])
def test_other_addresses_are_not_found(demo: Demo, path: str) -> None:
    assert httpx.get(demo.announced["listening"] + path).status_code == 404


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--base-url", "http://lab.example:9400"),
        ("--base-url", "https://localhost:9400"),
        ("--base-url", "http://localhost.example:9400"),
        ("--base-url", "http://localhost@lab.example:9400"),
        ("--base-url", "http://10.0.0.1:9400"),
        ("--base-url", "http://localhost:9400/path"),
        ("--redirect-base", "http://lab.example"),
        ("--host", "0.0.0.0"),
        ("--host", "::"),
        ("--port", "0"),
        ("--port", "many"),
        ("--unknown", "1"),
    ],
)
def test_refuses_to_start(option: str, value: str) -> None:
    done = subprocess.run(command(option, value), capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert re.fullmatch(r"demo institutions: .*" + re.escape(option) + r".*\n", done.stderr)
    assert done.stdout == ""


def test_in_a_pod_they_listen_on_its_address(tmp_path: Path) -> None:
    demo = start(tmp_path / "keys.json", "--host", "0.0.0.0", KUBERNETES_SERVICE_HOST="10.0.0.1")
    demo.stop()
    assert urlsplit(demo.announced["listening"]).hostname == "0.0.0.0"


def test_a_taken_port_is_told_in_a_sentence(demo: Demo) -> None:
    port = str(urlsplit(demo.base).port)
    done = subprocess.run(command("--port", port), capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        f"demo institutions: Port {port} is taken: choose another with --port.\n",
    )


def test_keys_are_kept_for_the_owner_only_and_survive(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"

    def published() -> list[object]:
        demo = start(keys)
        try:
            return [httpx.get(f"{demo.base}/{name}/jwks").json() for name in INSTITUTIONS]
        finally:
            demo.stop()

    first = published()
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    assert len({json.dumps(jwks) for jwks in first}) == len(INSTITUTIONS), "each institution has its own key"
    assert published() == first
    assert list(tmp_path.iterdir()) == [keys]

    keys.chmod(0o644)
    done = subprocess.run(command("--keys", str(keys)), capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert "chmod 600" in done.stderr


def test_accounts_fit_the_sample_site() -> None:
    """Every institution of the site's demo is served, and every roster row of the sample courses has its account."""
    site = YAML(typ="safe").load(ROOT / "hub_config" / "institutions.yaml")["institutions"]
    assert {name for name, one in site.items() if one.get("demo")} == set(INSTITUTIONS)
    for name, institution in INSTITUTIONS.items():
        assert institution["domain"] in site[name]["domains"]
        assert institution["title"] == site[name]["title"]
        assert institution.get("client_secret", {}).get("env") == site[name].get("client_secret_env")

    values = {
        (name, value)
        for name, institution in INSTITUTIONS.items()
        for login, account in institution["accounts"].items()
        for value in (f"{login}@{institution['domain']}", account.get("matriculation_number"))
    }
    for roster in (ROOT / "courses").glob("*/roster.csv"):
        with roster.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
        assert rows
        assert {(row["institution"], row["value"]) for row in rows} <= values
