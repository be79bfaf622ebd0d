"""The exchange over HTTP: release, fetch, hand in, collect, feedback."""

from hashlib import sha256
from pathlib import Path

import httpx

from kirzl_lab.courses.receipts import verify
from kirzl_lab.store.archives import pack
from tests.service.conftest import Service
from tests.service.sample import INSTRUCTOR, STUDENT

COURSE = "/services/lab/api/courses/ml-101"
PS1 = f"{COURSE}/assignments/ps1"
GZIP = {"Content-Type": "application/gzip"}
KEY = "0123456789abcdef"


def archive(folder: Path, **files: str) -> bytes:
    """A packed assignment; names with `_` in place of the dot."""
    made = folder / f"{len(list(folder.iterdir()))}"
    made.mkdir()
    for name, text in files.items():
        (made / name.replace("_", ".")).write_text(text)
    packed = made.with_suffix(".tar.gz")
    pack(made, packed)
    return packed.read_bytes()


async def submit(client: httpx.AsyncClient, body: bytes, key: str = KEY) -> httpx.Response:
    return await client.post(f"{PS1}/submissions", content=body, headers=GZIP | {"Idempotency-Key": key})


async def test_from_release_to_feedback(in_course: Service, tmp_path: Path) -> None:
    given, done = archive(tmp_path, ps1_ipynb="{}", data_csv="1"), archive(tmp_path, ps1_ipynb="{1}")
    feedback = archive(tmp_path, ps1_html="<p>")
    async with in_course.with_token(INSTRUCTOR) as teacher, in_course.with_token(STUDENT) as student:
        assert (await student.get(f"{PS1}/release")).json()["slug"] == "unknown-assignment"
        released = await teacher.put(f"{PS1}/release?due=2026-11-24T09:00:00%2B01:00", content=given, headers=GZIP)
        assert released.status_code == 204, released.text
        fetched = await student.get(f"{PS1}/release")
        assert fetched.content == given
        handed_in = await submit(student, done)
        assert handed_in.status_code == 201, handed_in.text
        again = await submit(student, done)
        assert again.status_code == 200
        assert again.json() == handed_in.json()
        assert handed_in.json()["late"]
        keys = (await student.get("/services/lab/api/receipts/key")).json()
        receipt = verify(handed_in.json()["receipt"], keys)
        assert (receipt.student, receipt.sha256) == (STUDENT, sha256(done).hexdigest())
        assert (receipt.submission, receipt.size) == (str(handed_in.json()["id"]), len(done))
        files = f"{COURSE}/submissions/{handed_in.json()['id']}"
        assert (await teacher.get(f"{files}/files")).content == done
        assert (await student.get(f"{files}/receipt")).text == handed_in.json()["receipt"]
        assert (await student.get(f"{files}/feedback")).json()["slug"] == "no-feedback"
        assert (await teacher.put(f"{files}/feedback", content=feedback, headers=GZIP)).status_code == 204
        assert (await student.get(f"{files}/feedback")).content == feedback
        listed = (await student.get(f"{COURSE}/assignments")).json()["assignments"]
        assert [each["name"] for each in listed] == ["ps1"]
        assert [each["id"] for each in listed[0]["submissions"]] == [handed_in.json()["id"]]
