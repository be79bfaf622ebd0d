"""Institutions for login, and where demo ones are refused."""

import pytest

from kirzl_lab.catalog.models import Institution, Text
from kirzl_lab.federation.institutions import login_institutions

TITLE = Text(de="Hochschule", en="University")
REAL = Institution(title=TITLE, issuer="https://login.uni.example", client_id="lab", domains=("uni.example",))
DEMO = Institution(title=TITLE, client_id="kirzl-lab", domains=("uas.example",), demo=True)
LOCAL = "http://localhost:8000"


def test_an_issuer_is_taken_to_the_letter() -> None:
    found = login_institutions({"uni": REAL}, None, {}, public_url="https://lab.example")
    assert found["uni"].issuer == "https://login.uni.example"
    assert found["uni"].client_secret is None


@pytest.mark.parametrize("public_url", [LOCAL, "http://127.0.0.1:8000", "http://lab.localhost:8000"])
def test_demo_institutions_live_on_this_machine(public_url: str) -> None:
    found = login_institutions({"uas": DEMO}, "http://localhost:9400", {}, public_url=public_url)
    assert found["uas"].issuer == "http://localhost:9400/uas"


@pytest.mark.parametrize(
    ("public_url", "demo_url"),
    [
        ("https://lab.example", "http://localhost:9400"),
        ("http://0.0.0.0:8000", "http://localhost:9400"),
        ("http://localhost.evil.example", "http://localhost:9400"),
        (LOCAL, "https://demo.example"),
    ],
)
def test_demo_institutions_are_refused_elsewhere(public_url: str, demo_url: str) -> None:
    with pytest.raises(ValueError, match="known passwords"):
        login_institutions({"uas": DEMO}, demo_url, {}, public_url=public_url)


def test_without_demo_only_the_real_ones_are_left() -> None:
    assert set(login_institutions({"uas": DEMO, "uni": REAL}, None, {}, public_url="https://lab.example")) == {"uni"}


def test_a_missing_secret_is_named() -> None:
    secret = REAL.model_copy(update={"client_secret_env": "UNI_SECRET"})
    with pytest.raises(ValueError, match="UNI_SECRET"):
        login_institutions({"uni": secret}, None, {}, public_url=LOCAL)
    found = login_institutions({"uni": secret}, None, {"UNI_SECRET": "s3cret"}, public_url=LOCAL)["uni"]
    assert found.client_secret == "s3cret"
    assert "s3cret" not in repr(found)


def test_an_issuer_belongs_to_one_institution() -> None:
    with pytest.raises(ValueError, match="same issuer"):
        login_institutions({"a": REAL, "b": REAL}, None, {}, public_url=LOCAL)
