"""Search, filter and paging: forms that browsers send, and whatever else comes in."""

from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kirzl_lab.store.audit import Action
from tests.service.conftest import Service
from tests.service.sample import BLOCKED, OPERATOR, STUDENT

EMPTY_FORMS = {
    "people": "search=&institution=&blocked=",
    "spaces": "search=&kind=&archived=",
    "audit": "action=&person=&actor=&space=&institution=&since=&until=",
}


@pytest.mark.parametrize("name", EMPTY_FORMS)
async def test_an_empty_form_asks_for_everything(service: Service, name: str) -> None:
    async with service.browser(OPERATOR) as client:
        everything = await client.get(f"/services/lab/{name}")
        same = await client.get(f"/services/lab/{name}?{EMPTY_FORMS[name]}")
    assert same.status_code == 200
    assert same.text.partition("<table")[2] == everything.text.partition("<table")[2] != ""


async def test_searching_people(service: Service) -> None:
    async def names(client: httpx.AsyncClient, **asked: str) -> list[str]:
        found = (await client.get("/services/lab/api/people", params=asked)).json()["items"]
        return [person["hub_name"] for person in found]

    async with service.with_token(OPERATOR) as client:
        assert await names(client) == [BLOCKED, OPERATOR, STUDENT]
        assert await names(client, search="prüfling") == [STUDENT]
        assert await names(client, institution="uas") == [BLOCKED]
        assert await names(client, blocked="true") == [BLOCKED]
        assert await names(client, blocked="false", search="operator-") == [OPERATOR]


async def test_the_page_spaces_tells_how_many(service: Service) -> None:
    async with service.browser(OPERATOR) as client:
        page = await client.get("/services/lab/spaces")
        assert "and how many are in it." in page.text
        assert '1 <span class="k-meta">Student</span>' in page.text
        assert "Prüfling" not in page.text


async def test_a_page_at_a_time(service: Service) -> None:
    async with service.browser(OPERATOR) as client:
        first = await client.get("/services/lab/audit?per_page=5")
        assert 'href="/services/lab/audit?per_page=5&amp;page=2"' in first.text
        second = await client.get("/services/lab/audit?per_page=5&page=2")
        assert 'rel="prev"' in second.text
        assert second.text != first.text
        beyond = await client.get("/services/lab/audit?page=999")
        assert beyond.status_code == 200
        assert "has no page 999" in beyond.text


async def test_a_filter_stays_in_the_form_and_in_the_links(service: Service) -> None:
    async with service.browser(OPERATOR) as client:
        page = await client.get("/services/lab/audit?space=ml-101&since=2026-10-01&until=2026-11-30&per_page=1")
    assert 'value="ml-101"' in page.text
    assert 'value="2026-10-01"' in page.text
    assert "space=ml-101&amp;since=2026-10-01&amp;until=2026-11-30&amp;page=2" in page.text


async def test_the_last_day_is_included(service: Service) -> None:
    async with service.with_token(OPERATOR) as client:
        asked = {"since": "2026-11-24", "until": "2026-11-24"}
        found = (await client.get("/services/lab/api/audit", params=asked)).json()
    assert {item["action"] for item in found["items"]} == {Action.SERVER_STARTED, Action.START_REFUSED}


async def test_lists_lead_to_each_other(service: Service) -> None:
    async with service.browser(OPERATOR) as client:
        people = (await client.get("/services/lab/people")).text
        person = (await client.get(f"/services/lab/people/{STUDENT}")).text
        spaces = (await client.get("/services/lab/spaces")).text
        audit = (await client.get("/services/lab/audit")).text
    assert f'href="/services/lab/people/{STUDENT}"' in people
    assert f'href="/services/lab/audit?person={STUDENT}"' in person
    assert 'href="/services/lab/spaces?search=ml-101"' in person
    assert 'href="/services/lab/audit?space=ml-101"' in spaces
    assert f'href="/services/lab/people/{STUDENT}"' in audit
    assert 'href="/services/lab/spaces?search=ml-101"' in audit


PARAMETERS = ("search", "institution", "blocked", "kind", "archived", "page", "per_page", "actor", "action", "person")
VALUES = st.one_of(
    st.text(max_size=60),
    st.integers().map(str),
    st.sampled_from(["", "true", "-1", "0", "1e9", "9" * 40, "2026-02-30", "9999-12-31", "0001-01-01", "\0", "%", "'"]),
)
PATHS = ("people", "spaces", "audit", "api/people", "api/spaces/all", "api/audit", "api/spaces", "oauth_callback")


# The lab is only read here, so that one serves every example.
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    path=st.sampled_from(PATHS)
    | st.text(max_size=30).map(lambda name: f"people/{quote(name, safe='')}")
    | st.text(max_size=30).map(lambda name: f"api/people/{quote(name, safe='')}"),
    asked=st.dictionaries(
        st.sampled_from([*PARAMETERS, "space", "since", "until", "do", "server", "done", "state", "code"]),
        VALUES,
        max_size=5,
    ),
    html=st.booleans(),
)
async def test_no_parameter_is_too_much(service: Service, path: str, asked: dict[str, str], html: bool) -> None:
    async with service.with_token(OPERATOR) as client:
        answer = await client.get(
            f"/services/lab/{path}", params=asked, headers={"Accept": "text/html"} if html else {}
        )
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400 and not html:
        assert answer.json()["status"] == answer.status_code


@pytest.mark.parametrize("raw", [b"search=%ff%fe", b"search=%00", b"page=%zz", b"&&&===", b"search=" + b"a" * 5000])
async def test_broken_encodings(service: Service, raw: bytes) -> None:
    async with service.with_token(OPERATOR) as client:
        answer = await client.get(httpx.URL("http://lab.test/services/lab/api/people", query=raw))
    assert answer.status_code in (200, 422)
