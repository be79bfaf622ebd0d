"""Courses over HTTP: pages and API, from new to deleted."""

import io
import tarfile
from collections.abc import Mapping
from datetime import timedelta

import httpx

from kirzl_lab.courses.life import GRACE
from kirzl_lab.service.loops import erase_deleted_courses
from tests.service.conftest import Service, form_key
from tests.service.sample import ASSISTANT, INSTRUCTOR, OPERATOR, OUTSIDER, STUDENT

LAB = "/services/lab"
API = f"{LAB}/api/courses"
FILE = {
    "title": {"de": "Statistik", "en": "Statistics"},
    "term": "2026/27 winter",
    "starts": "2026-10-12",
    "ends": "2027-02-05",
    "sizes": ["cpu-small"],
    "default_size": "cpu-small",
}
FORM = {
    "name": "stat-1",
    "title_de": "Statistik",
    "term": "2026/27",
    "starts": "2026-10-12",
    "sizes": "cpu-small",
    "default_size": "cpu-medium",
    "timezone": "Europe/Berlin",
    "image": "notebook",
    "storage_gib": "10",
    "network_reach": "none",
    "idle_hours": "1,5",
    "max_submission_mib": "100",
    "max_submission_files": "1000",
}
ORIGIN = {"Origin": "http://lab.test"}


async def make(service: Service, name: str = "stat-1", who: str = INSTRUCTOR) -> None:
    async with service.with_token(who) as client:
        made = await client.post(API, json={"name": name, "course": FILE})
        assert made.status_code == 201, made.text


async def post(client: httpx.AsyncClient, page: str, to: str, form: Mapping[str, str]) -> httpx.Response:
    """Fill in a form of a page."""
    opened = await client.get(f"{LAB}/{page}")
    assert opened.status_code == 200, opened.text
    return await client.post(f"{LAB}/{to}", data={"form_key": form_key(opened.text), **form}, headers=ORIGIN)


async def test_a_lecturer_makes_a_course_and_can_open_it_at_once(in_course: Service) -> None:
    await make(in_course)
    async with in_course.with_token(INSTRUCTOR) as client:
        spaces = (await client.get(f"{LAB}/api/spaces")).json()["spaces"]
        assert [(space["name"], space["role"]) for space in spaces if space["name"] == "stat-1"] == [
            ("stat-1", "instructor")
        ]
        details = (await client.get(f"{API}/stat-1")).json()
        assert (details["course"]["starts"], details["managed_by"], details["archived_at"]) == (
            "2026-10-12",
            None,
            None,
        )
        for name, slug, status in (("stat-1", "course-name-taken", 409), ("Stat", "course-name-refused", 422)):
            refused = await client.post(API, json={"name": name, "course": FILE})
            assert (refused.status_code, refused.json()["slug"]) == (status, slug)
        refused = await client.post(
            API, json={"name": "x", "course": FILE | {"sizes": ["huge"], "default_size": "huge"}}
        )
        assert "no size “huge”" in refused.json()["detail"]


async def test_who_may_make_courses(in_course: Service) -> None:
    for who, slug in ((STUDENT, "lecturers-only"), (ASSISTANT, "lecturers-only"), (OPERATOR, None), (OUTSIDER, None)):
        async with in_course.with_token(who) as client:
            answer = await client.post(API, json={"name": f"of-{who.partition('-')[0]}", "course": FILE})
            assert answer.json().get("slug") == slug, answer.text
            assert ("new-course" in (await client.get(f"{LAB}/courses")).text) == (slug is None)


async def test_another_lecturers_course_is_none(in_course: Service) -> None:
    await make(in_course)
    async with in_course.with_token(OUTSIDER) as client:
        for method, path in (
            ("GET", ""),
            ("PUT", ""),
            ("DELETE", ""),
            ("POST", "/copy"),
            ("GET", "/roster"),
            ("GET", "/download"),
        ):
            answer = await client.request(method, f"{API}/stat-1{path}", json=FILE)
            assert (answer.status_code, answer.json()["slug"]) == (404, "unknown-course"), (method, path)


async def test_the_form_makes_a_course_and_says_what_is_wrong(in_course: Service) -> None:
    async with in_course.browser(INSTRUCTOR) as client:
        wrong = await post(
            client, "new-course", "new-course", FORM | {"term": "", "ends": "2026-10-01", "idle_hours": "x"}
        )
        assert wrong.status_code == 422
        for sentence in ("Please fill this in.", "The last day cannot be before the first.", "This is no number."):
            assert sentence in wrong.text
        assert 'value="stat-1"' in wrong.text
        taken = await post(client, "new-course", "new-course", FORM | {"name": "ml-101"})
        assert "There is, or was, a space called" in taken.text
        made = await post(client, "new-course", "new-course", FORM)
        assert (made.status_code, made.headers["location"]) == (303, f"{LAB}/courses/stat-1?done=made")
        landed = await client.get(made.headers["location"])
        assert "you instruct it" in landed.text
        course = (await client.get(f"{API}/stat-1")).json()["course"]
        assert course["title"] == {"de": "Statistik", "en": "Statistik"}
        assert (course["idle_hours"], course["default_size"], course["ends"]) == (1.5, "cpu-small", None)


async def test_the_settings_are_what_the_course_is(in_course: Service) -> None:
    await make(in_course)
    async with in_course.browser(INSTRUCTOR) as client:
        saved = await post(
            client, "courses/stat-1/settings", "courses/stat-1/settings", FORM | {"title_de": "Neu", "title_en": "New"}
        )
        assert saved.headers["location"].endswith("?done=saved")
        assert "New" in (await client.get(f"{LAB}/courses")).text


async def test_a_course_of_a_file_says_where_it_is_changed(in_course: Service) -> None:
    async with in_course.browser(INSTRUCTOR) as client:
        page = (await client.get(f"{LAB}/courses/ml-101")).text
        assert "courses/ml-101/course.yaml" in page
        for deed in ("settings", "confirm?do=archive"):
            assert f"/courses/ml-101/{deed}" not in page
        key = form_key((await client.get(f"{LAB}/courses/ml-101/copy")).text)
        for deed in ("settings", "archive", "roster"):
            answer = await client.post(f"{LAB}/courses/ml-101/{deed}", data=FORM | {"form_key": key}, headers=ORIGIN)
            assert answer.status_code == 409, deed
            assert "courses/ml-101/course.yaml" in answer.text


async def test_copied_for_another_term(in_course: Service) -> None:
    async with in_course.browser(INSTRUCTOR) as client:
        form = {"name": "ml-101-s27", "term": "2027", "starts": "2027-04-12"}
        wrong = await post(client, "courses/ml-101/copy", "courses/ml-101/copy", form | {"term": "", "starts": "x"})
        assert wrong.status_code == 422
        assert "This is no day." in wrong.text
        made = await post(client, "courses/ml-101/copy", "courses/ml-101/copy", form)
        assert made.headers["location"] == f"{LAB}/courses/ml-101-s27?done=copied"
        course = (await client.get(f"{API}/ml-101-s27")).json()["course"]
        assert (course["starts"], course["ends"], course["term"]) == ("2027-04-12", "2027-09-29", "2027")
        people = (await client.get(f"{API}/ml-101-s27/roster")).json()["items"]
        assert [line["person"] for line in people] == [INSTRUCTOR]


async def test_archived_is_only_read_and_can_be_restored(in_course: Service) -> None:
    await make(in_course)
    async with in_course.browser(INSTRUCTOR) as client:
        key = form_key((await client.get(f"{LAB}/courses/stat-1/confirm?do=archive")).text)
        archived = await client.post(f"{LAB}/courses/stat-1/archive", data={"form_key": key}, headers=ORIGIN)
        assert archived.headers["location"].endswith("?done=archived")
        assert "stat-1" not in (await client.get(f"{LAB}/api/spaces")).text
        assert (await client.get(f"{LAB}/courses/stat-1")).status_code == 200
    async with in_course.with_token(INSTRUCTOR) as program:
        refused = await program.put(f"{API}/stat-1", json=FILE)
        assert refused.json()["slug"] == "course-archived"
        row = {"institution": "uni", "claim": "email", "value": "x@uni.example"}
        assert (await program.post(f"{API}/stat-1/roster", json=row)).json()["slug"] == "course-archived"
        assert (await program.post(f"{API}/stat-1/restore")).json()["archived_at"] is None
        assert (await program.put(f"{API}/stat-1", json=FILE)).status_code == 200


async def test_deleted_and_gone_after_the_grace(in_course: Service) -> None:
    await make(in_course)
    async with in_course.with_token(INSTRUCTOR) as client:
        assert (await client.delete(f"{API}/stat-1")).json()["slug"] == "not-archived"
        await client.post(f"{API}/stat-1/archive")
        deleted = await client.delete(f"{API}/stat-1")
        assert deleted.status_code == 200, deleted.text
        assert "Deleted" in (await client.get(f"{LAB}/courses/stat-1")).text
        assert await erase_deleted_courses(in_course.state) == []
        in_course.time.now += GRACE + timedelta(seconds=1)
        assert (await client.post(f"{API}/stat-1/restore")).json()["slug"] == "course-deleted"
        assert await erase_deleted_courses(in_course.state) == ["stat-1"]
        assert await erase_deleted_courses(in_course.state) == []
        assert (await client.get(f"{API}/stat-1")).status_code == 404
        assert (await client.post(API, json={"name": "stat-1", "course": FILE})).json()["slug"] == "course-name-taken"


async def test_everything_in_one_archive(in_course: Service, tmp_path: object) -> None:
    await make(in_course)
    async with in_course.with_token(INSTRUCTOR) as client:
        answer = await client.get(f"{API}/stat-1/download")
    assert answer.headers["content-type"] == "application/x-tar"
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        assert archive.getnames() == ["stat-1/course.json", "stat-1/roster.csv", "stat-1/gradebook.csv"]
        roster = archive.extractfile("stat-1/roster.csv")
        assert roster is not None
        assert "instructor@uni.example" in roster.read().decode("utf-8-sig")
