"""Where a browser is sent, and where secrets may go."""

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirzl_lab.federation.addresses import is_loopback, local_path, may_be_asked


@pytest.mark.parametrize(
    "url",
    [
        "/hub/home",
        "/",
        "/user/abc/ml-101/lab/tree/a%20b.ipynb?reset",
        "/hub/api/oauth2/authorize?client_id=service-lab&redirect_uri=%2Fservices%2Flab%2F&state=eyJ%3D%3D",
        "/hub/x?next=https://elsewhere.example//y",
    ],
)
def test_paths_of_this_hub(url: str) -> None:
    assert local_path(url) == url


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "home",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "\\/evil.example",
        "/hub\\..\\evil",
        "https://evil.example",
        "https:evil.example",
        "https:/evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "/%2f%2fevil.example",
        "/%2Fevil.example",
        "%2f%2fevil.example",
        "/%252f%252fevil.example",
        "/%5cevil.example",
        "/%255cevil.example",
        "/.//evil.example",
        "/hub/..//evil.example",
        "/hub/../../x",
        "/hub/%2e%2e/x",
        "/hub//evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "/%09/evil.example",
        "/%0d%0aSet-Cookie:x=y",
        "/hub/\x00",
        "/hub/%00",
        " /hub",
        "/hub/ümlaut",
        "/" + "x" * 5000,
    ],
)
def test_everything_else_is_refused(url: str | None) -> None:
    assert local_path(url) is None


def test_only_below_the_base() -> None:
    assert local_path("/jupyter/hub/home", "/jupyter/") == "/jupyter/hub/home"
    assert local_path("/hub/home", "/jupyter/") is None
    assert local_path("/jupyterx", "/jupyter/") is None


@given(st.text(alphabet="/\\%2f5c.:?#@ae\t\n \0-xjs", max_size=30).map(lambda text: "/" + text) | st.text(max_size=30))
def test_what_comes_back_stays_on_the_host(url: str) -> None:
    found = local_path(url)
    if found is not None:
        assert urlsplit(urljoin("https://lab.example/hub/login", found)).netloc == "lab.example"
        assert not found.replace("\\", "/").startswith("//")


@pytest.mark.parametrize("host", ["localhost", "lab.localhost", "127.0.0.1", "127.1.2.3", "::1"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", [None, "", "localhost.evil.example", "evil.example", "127.0.0.1.evil.example", "10.0.0.1", "notlocalhost"]
)
def test_not_loopback(host: str | None) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("url", ["https://login.example/token?x=y", "http://localhost:9400/t", "http://[::1]:1/t"])
def test_secrets_may_go_there(url: str) -> None:
    assert may_be_asked(url)


@pytest.mark.parametrize(
    "url",
    [
        None,
        7,
        "",
        "http://login.example/token",
        "ftp://login.example",
        "file:///etc/passwd",
        "https://",
        "https://login.example@evil.example/",
        "https://login.example/#x",
        "https://login.example\\@evil.example/",
        "https://login.example/a b",
        "https://[::1/",
        "https://login.example:port/",
    ],
)
def test_secrets_may_not_go_there(url: object) -> None:
    assert not may_be_asked(url)
