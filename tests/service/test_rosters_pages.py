"""Rosters over HTTP: pages and API."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from html import unescape

import httpx
import pytest

from kirzl_lab.courses.roster_file import LARGEST
from kirzl_lab.store import audit
from kirzl_lab.store.members import person_called
from kirzl_lab.store.tables import RosterEntry
from tests.service.conftest import Service, form_key
from tests.service.sample import ASSISTANT, COLLEAGUE, INSTRUCTOR, OUTSIDER, STUDENT
from tests.service.test_courses import API, FILE, LAB, ORIGIN, post

ROSTER = f"{API}/stat-1/roster"
PAGE = "courses/stat-1/roster"
ROW = {"institution": "uni", "claim": "email", "value": "student@uni.example"}
FILE_WITH_TWO = "Einrichtung;E-Mail;Rolle;Gruppe\nuni;Student@uni.example;;Dienstag\nuas;new@uas.example;Tutorin;\n"


@pytest.fixture
async def lab(in_course: Service) -> AsyncIterator[Service]:
    """`stat-1` is a course of the instructor's that no file describes."""
    async with in_course.with_token(INSTRUCTOR) as client:
        assert (await client.post(API, json={"name": "stat-1", "course": FILE})).status_code == 201
    yield in_course


async def upload(client: httpx.AsyncClient, text: str, **more: str) -> httpx.Response:
    """Choose a file in the form."""
    key = form_key((await client.get(f"{LAB}/{PAGE}/file")).text)
    form = {"form_key": key, "institution": "uni", "role": "student", "complete": "no"} | more
    file = {"file": ("people.csv", text.encode("cp1252"), "text/csv")}
    return await client.post(f"{LAB}/{PAGE}/file", data=form, files=file, headers=ORIGIN)


def hidden(html: str) -> dict[str, str]:
    """The fields of the form of a preview."""
    return {name: unescape(value) for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', html)}


async def test_a_late_joiner_has_their_place_without_a_logout(lab: Service) -> None:
    async with lab.with_token(STUDENT) as student, lab.with_token(INSTRUCTOR) as teacher:
        assert (await student.get(f"{API}/stat-1")).status_code == 404
        added = await teacher.post(ROSTER, json=ROW | {"section": "A"})
        assert [change["action"] for change in added.json()["changes"]] == ["roster-added"]
        assert (await student.get(f"{API}/stat-1")).json()["section"] == "A"
        rows = (await teacher.get(ROSTER, params={"search": "prüfling"})).json()["items"]
        assert [(row["person"], row["state"], row["role"]) for row in rows] == [(STUDENT, "bound", "student")]
        changed = await teacher.patch(f"{ROSTER}/{rows[0]['id']}", json={"role": "assistant"})
        assert changed.json()["changes"][0]["role"] == ["student", "assistant"]
        assert (await student.get(f"{API}/stat-1")).json()["role"] == "assistant"
        assert (await teacher.delete(f"{ROSTER}/{rows[0]['id']}")).status_code == 200
        assert (await student.get(f"{API}/stat-1")).status_code == 404
        assert (await teacher.delete(f"{ROSTER}/{rows[0]['id']}")).json()["slug"] == "unknown-roster-row"


async def test_what_cannot_be_a_row(lab: Service) -> None:
    async with lab.with_token(INSTRUCTOR) as client:
        for change, slug in (
            ({"institution": "nowhere"}, "row-refused"),
            ({"claim": "given_name"}, "row-refused"),
            ({"value": "student@uas.example"}, "row-refused"),
            ({"role": "operator"}, "row-refused"),
            ({"value": "no address"}, "bad-input"),
            ({"section": "x" * 61}, "bad-input"),
        ):
            refused = await client.post(ROSTER, json=ROW | change)
            assert (refused.status_code, refused.json()["slug"]) == (422, slug), change
        own = (await client.get(ROSTER)).json()["items"][0]["id"]
        assert (await client.delete(f"{ROSTER}/{own}")).json()["slug"] == "last-instructor"


async def test_who_may_see_and_who_may_change(lab: Service) -> None:
    async with lab.with_token(INSTRUCTOR) as teacher:
        for value, role in (("assistant@uas.example", "assistant"), ("colleague@uas.example", "student")):
            row = {"institution": "uas", "claim": "email", "value": value, "role": role}
            assert (await teacher.post(ROSTER, json=row)).status_code == 200
    for who, read, written in (
        (ASSISTANT, None, "instructors-only"),
        (COLLEAGUE, "staff-only", "instructors-only"),
        (OUTSIDER, "unknown-course", "unknown-course"),
    ):
        async with lab.with_token(who) as client:
            assert (await client.get(ROSTER)).json().get("slug") == read
            assert (await client.post(ROSTER, json=ROW)).json()["slug"] == written
    async with lab.browser(ASSISTANT) as client:
        page = (await client.get(f"{LAB}/{PAGE}")).text
        assert "colleague@uas.example" in page
        assert "/roster/file" not in page


async def test_a_file_is_shown_first_and_then_done(lab: Service) -> None:
    async with lab.browser(INSTRUCTOR) as client:
        preview = await upload(client, FILE_WITH_TWO)
        assert preview.status_code == 200
        for text in ("What would change", "UTF-8", "student@uni.example", "Dienstag", "Added: <strong>2</strong>"):
            assert text in preview.text, text
        assert len((await client.get(ROSTER)).json()["items"]) == 1, "a preview changes nothing"
        done = await client.post(f"{LAB}/{PAGE}/upload", data=hidden(preview.text), headers=ORIGIN)
        assert done.headers["location"] == f"{LAB}/{PAGE}?done=uploaded"
        rows = (await client.get(ROSTER)).json()["items"]
        assert [(row["value"], row["role"], row["section"], row["state"]) for row in rows] == [
            ("instructor@uni.example", "instructor", "", "bound"),
            ("new@uas.example", "assistant", "", "waiting"),
            ("student@uni.example", "student", "Dienstag", "bound"),
        ]
        again = await upload(client, FILE_WITH_TWO)
        assert "Nothing would change" in again.text
        page = (await client.get(f"{LAB}/{PAGE}?state=waiting")).text
        assert "new@uas.example" in page
        assert "student@uni.example" not in page


async def test_a_whole_roster_removes_who_is_not_in_it(lab: Service) -> None:
    async with lab.browser(INSTRUCTOR) as client:
        first = await upload(client, FILE_WITH_TWO)
        await client.post(f"{LAB}/{PAGE}/upload", data=hidden(first.text), headers=ORIGIN)
        whole = await upload(client, "email\nstudent@uni.example\n", complete="yes")
        assert "Removed: <strong>1</strong>" in whole.text
        assert "Changed: <strong>1</strong>" in whole.text
        await client.post(f"{LAB}/{PAGE}/upload", data=hidden(whole.text), headers=ORIGIN)
        rows = (await client.get(ROSTER)).json()["items"]
        assert [row["value"] for row in rows] == ["instructor@uni.example", "student@uni.example"]


async def test_mistakes_are_told_by_line_and_nothing_is_done(lab: Service) -> None:
    async with lab.browser(INSTRUCTOR) as client:
        wrong = await upload(client, FILE_WITH_TWO + "uni;nobody;;\nelsewhere;x@uni.example;;\n")
        assert wrong.status_code == 422
        assert "“nobody” is no e-mail address" in wrong.text
        assert "“elsewhere” is no institution of this lab" in wrong.text
        assert 'name="rows"' not in wrong.text
        forged = {
            "form_key": hidden((await client.get(f"{LAB}/{PAGE}/file")).text)["form_key"],
            "rows": "x",
            "mark": "0",
        }
        refused = await client.post(f"{LAB}/{PAGE}/upload", data=forged, headers=ORIGIN)
        assert refused.status_code == 422
        assert len((await client.get(ROSTER)).json()["items"]) == 1


async def test_a_preview_that_is_out_of_date_is_refused(lab: Service) -> None:
    async with lab.browser(INSTRUCTOR) as client, lab.with_token(INSTRUCTOR) as program:
        preview = await upload(client, FILE_WITH_TWO)
        await program.post(ROSTER, json=ROW)
        done = await client.post(f"{LAB}/{PAGE}/upload", data=hidden(preview.text), headers=ORIGIN)
        assert done.status_code == 409
        assert "Somebody else has changed the roster" in done.text
        assert len((await client.get(ROSTER)).json()["items"]) == 2


async def test_the_api_previews_and_does_the_same(lab: Service) -> None:
    async with lab.with_token(INSTRUCTOR) as client:
        body = FILE_WITH_TWO.encode("utf-16")
        asked = {"complete": "true"}
        preview = (await client.post(f"{ROSTER}/preview", content=body, params=asked)).json()
        assert (preview["rows"], preview["encoding"], preview["mistakes"]) == (2, "UTF-16", [])
        done = await client.put(ROSTER, content=body, params=asked | {"mark": preview["mark"]})
        assert done.json()["changes"] == preview["changes"]
        assert (await client.put(ROSTER, content=body, params=asked | {"mark": preview["mark"]})).json()[
            "slug"
        ] == "roster-changed"
        wrong = b"email;institution\nx;uni\n"
        told = (await client.post(f"{ROSTER}/preview", content=wrong, headers={"Accept-Language": "de"})).json()
        assert [mistake["line"] for mistake in told["mistakes"]] == [2]
        refused = await client.put(ROSTER, content=wrong, params={"mark": preview["mark"]})
        assert (refused.status_code, refused.json()["slug"]) == (422, "roster-refused")
        large = await client.post(f"{ROSTER}/preview", content=b"x" * (LARGEST + 1))
        assert (large.status_code, large.json()["slug"]) == (413, "too-large")


async def test_by_hand_on_the_page(lab: Service) -> None:
    async with lab.browser(INSTRUCTOR) as client:
        typed = {"who": "uni email", "value": "student@uas.example", "role": "assistant", "section": "A"}
        wrong = await post(client, PAGE, PAGE, typed)
        assert wrong.status_code == 422
        assert "outside the domains of uni" in wrong.text
        assert 'value="student@uas.example"' in wrong.text
        added = await post(client, PAGE, PAGE, typed | {"value": "student@uni.example"})
        assert added.headers["location"].endswith("?done=added")
        row = (await client.get(ROSTER, params={"role": "assistant"})).json()["items"][0]
        changed = await post(client, f"{PAGE}/{row['id']}", f"{PAGE}/{row['id']}", {"role": "student", "section": "B"})
        assert changed.headers["location"].endswith("?done=changed")
        removed = await post(client, f"{PAGE}/{row['id']}", f"{PAGE}/{row['id']}/remove", {})
        assert removed.headers["location"].endswith("?done=removed")
        own = (await client.get(ROSTER)).json()["items"][0]
        stays = await post(client, f"{PAGE}/{own['id']}", f"{PAGE}/{own['id']}/remove", {})
        assert stays.status_code == 422
        assert "Nobody would be left who instructs this course" in stays.text


async def test_a_conflict_is_told_with_the_others_name(lab: Service) -> None:
    async with lab.with_token(INSTRUCTOR) as client:
        await client.post(ROSTER, json=ROW)
        row = (await client.get(ROSTER, params={"role": "student"})).json()["items"][0]["id"]
        async with lab.store.writing() as session:
            entry = await session.get_one(RosterEntry, row)
            other = await person_called(session, COLLEAGUE)
            assert other is not None
            detail = {"roster_row": row, "claim": "email", "value": entry.value, "role": "student"}
            at = lab.time.now + timedelta(minutes=1)
            audit.record(session, at=at, actor=COLLEAGUE, action=audit.Action.ROSTER_CONFLICT, person_id=other.id, space_id=entry.space_id, detail=detail)  # fmt: skip
        line = (await client.get(ROSTER, params={"state": "conflict"})).json()["items"][0]
        assert (line["person"], line["also"]) == (STUDENT, ["Colleague in the evening"])
        assert (await client.get(ROSTER, params={"state": "bound", "role": "student"})).json()["items"] == []


async def test_a_form_that_is_too_large_is_not_read(lab: Service) -> None:
    async with lab.browser(INSTRUCTOR) as client:
        key = form_key((await client.get(f"{LAB}/{PAGE}/file")).text)
        huge = await client.post(
            f"{LAB}/{PAGE}/upload", data={"form_key": key, "rows": "x" * 5_000_000}, headers=ORIGIN
        )
        assert huge.status_code == 413
        larger = await upload(client, "x" * (LARGEST + 1))
        assert larger.status_code == 413
