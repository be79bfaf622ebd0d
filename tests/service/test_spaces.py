"""What a person may open, as programs are told."""

from datetime import datetime

import pytest
from sqlalchemy import select

from kirzl_lab.store.tables import Space
from tests.service.conftest import Service
from tests.service.sample import NOW, OPERATOR, STUDENT

ADDRESS = "/services/lab/api/spaces"


async def test_the_spaces_of_a_student(service: Service) -> None:
    async with service.with_token(STUDENT) as client:
        answer = await client.get(ADDRESS)
    assert answer.headers["cache-control"] == "no-store"
    spaces = answer.json()["spaces"]
    assert [space["name"] for space in spaces] == ["dl-201", "ml-101"]
    assert spaces[1] == {
        "name": "ml-101",
        "kind": "course",
        "title": {"de": "Einführung in maschinelles Lernen", "en": "Introduction to Machine Learning"},
        "description": None,
        "term": "2026/27 winter",
        "role": "student",
        "section": "",
        "sizes": ["cpu-small", "cpu-medium"],
        "default_size": "cpu-small",
        "open": True,
        "starts": "2026-10-12",
        "ends": "2027-03-31",
        "timezone": "Europe/Berlin",
    }
    assert spaces[0]["sizes"] == ["cpu-medium"], "a size that the site no longer has is not offered"
    assert spaces[0]["section"] == "Tuesday"


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2027-04-04T21:59:59+00:00", False),  # still Sunday in Berlin
        ("2027-04-04T22:00:00+00:00", True),  # Monday there, Sunday in UTC
        ("2027-07-16T21:59:59+00:00", True),
        ("2027-07-16T22:00:00+00:00", False),
    ],
)
async def test_open_is_told_in_the_days_of_the_space(service: Service, moment: str, is_open: bool) -> None:
    service.time.now = datetime.fromisoformat(moment)
    async with service.with_token(STUDENT) as client:
        spaces = {space["name"]: space for space in (await client.get(ADDRESS)).json()["spaces"]}
    assert spaces["dl-201"]["open"] is is_open


async def test_nobody_is_told_of_other_peoples_spaces(service: Service) -> None:
    async with service.with_token(OPERATOR) as client:
        assert (await client.get(ADDRESS)).json() == {"spaces": []}


async def test_an_archived_space_is_gone_for_its_members_and_seen_by_operators(service: Service) -> None:
    async with service.store.writing() as session:
        space = (await session.scalars(select(Space).where(Space.name == "ml-101"))).one()
        space.archived_at = NOW
    async with service.with_token(STUDENT) as client:
        assert [space["name"] for space in (await client.get(ADDRESS)).json()["spaces"]] == ["dl-201"]
    async with service.with_token(OPERATOR) as client:
        found = (await client.get(f"{ADDRESS}/all", params={"archived": "true"})).json()
        assert [(item["name"], item["members"], item["waiting"]) for item in found["items"]] == [
            ("ml-101", {"student": 1}, 2)
        ]


async def test_the_way_in(service: Service) -> None:
    for who, wanted in ((OPERATOR, "/services/lab/people"), (STUDENT, "/hub/home")):
        async with service.browser(who) as client:
            assert (await client.get("/services/lab/")).headers["location"] == wanted
