"""A class that hands in over real HTTP at the same time, and what must be true of it afterwards.

What a student hands in is a function of their number: whoever knows the number can tell whether a byte was changed.
"""

import asyncio
import gzip
import hashlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
from sqlalchemy import select

from kirzl_lab.catalog.loader import load
from kirzl_lab.catalog.models import Role
from kirzl_lab.courses.in_server.service import PATIENT, TRANSFER_LIMITS, WORTH_ANOTHER_TRY
from kirzl_lab.courses.receipts import verify
from kirzl_lab.settings import Settings
from kirzl_lab.store.apply import apply
from kirzl_lab.store.archive_rules import BLOCK, END, header_of
from kirzl_lab.store.blobs import Blobs
from kirzl_lab.store.database import Store
from kirzl_lab.store.tables import InstitutionRow, Membership, Person, RosterEntry, ServerBinding, Space
from tests.service.fake_hub import SCOPE, FakeHub

COURSE, ASSIGNMENT, TEACHER = "ml-101", "sheet-1", "teacher"
SUBMISSIONS = f"/api/courses/{COURSE}/assignments/{ASSIGNMENT}/submissions"
SIZE = 2 << 20
"""Bytes of what each student hands in."""
NOISE = random.Random(1).randbytes(SIZE - 4096)
GZIP = {"Content-Type": "application/gzip"}


def student(number: int) -> str:
    """A hub name."""
    return f"student-{number:04d}"


def content(number: int) -> bytes:
    """The student's data, which no packing makes smaller, and which has no part where another student's has the same."""
    start = number * 1031 % len(NOISE)
    return NOISE[start:] + NOISE[:start]


def archive(number: int) -> bytes:
    """What the student hands in, as `kirzl_lab.store.archives.pack` packs it, but in no time."""
    return packed({"data.bin": content(number), "sheet-1.ipynb": b'{"cells": []}'})


def packed(files: dict[str, bytes]) -> bytes:
    """An archive of these files."""
    parts = (header_of(name, len(data), False) + data + bytes(-len(data) % BLOCK) for name, data in files.items())
    return gzip.compress(b"".join(parts) + bytes(END), compresslevel=0, mtime=0)


def key(number: int) -> str:
    """The student's key for the submission."""
    return f"the-key-of-{number:06d}"


# -- a lab with a class in it ---------------------------------------------------------------------------------------


async def fill(settings: Settings, hub: FakeHub, students: int) -> None:
    """Let that many students and a teacher into the course, each with a server whose token the hub knows."""
    catalogue = load(settings.hub_config, settings.courses)
    issuers = {name: f"https://{name}.example" for name in catalogue.institutions}
    store, now = Store(settings.database_url), datetime.now(UTC)
    await apply(store, catalogue, issuers, now=now)
    async with store.writing() as session:
        space = (await session.scalars(select(Space).where(Space.name == COURSE))).one()
        institution = (await session.scalars(select(InstitutionRow.name).limit(1))).one()
        people = [TEACHER, *map(student, range(students))]
        persons = [Person(hub_name=name, display_name=name.title(), created_at=now) for name in people]
        session.add_all(persons)
        await session.flush()
        rows = [
            RosterEntry(
                space_id=space.id,
                institution_name=institution,
                claim="email",
                value=f"{person.hub_name}@load.example",
                role=Role.INSTRUCTOR if person.hub_name == TEACHER else Role.STUDENT,
                created_at=now,
                bound_person_id=person.id,
                bound_at=now,
            )
            for person in persons
        ]
        session.add_all(rows)
        await session.flush()
        for person, row in zip(persons, rows, strict=True):
            what = {"person_id": person.id, "space_id": space.id, "created_at": now}
            session.add(Membership(**what, roster_row_id=row.id, role=row.role))
            session.add(ServerBinding(**what, server_name=COURSE, purpose="work"))
    await store.close()
    for name in people:
        hub.give_token(name, token(name), SCOPE, f"access:servers!server={name}/{COURSE}")


def token(hub_name: str) -> str:
    """What that person's server sends."""
    return f"token-of-{hub_name}"


async def release(url: str) -> None:
    """Release the assignment."""
    async with teacher(url) as client:
        answer = await client.put(
            f"/api/courses/{COURSE}/assignments/{ASSIGNMENT}/release",
            content=packed({"sheet-1.ipynb": b'{"cells": []}'}),
            headers=GZIP,
        )
        assert answer.status_code == 204, answer.text


@asynccontextmanager
async def teacher(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A program of the teacher's."""
    authorization = {"Authorization": f"token {token(TEACHER)}"}
    async with httpx.AsyncClient(base_url=url, headers=authorization, timeout=60, trust_env=False) as client:
        yield client


# -- handing in -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HandedIn:
    """What a student has when it is over."""

    number: int
    sha256: str
    """Of what was sent."""
    answer: dict[str, Any]
    """The submission, as the service told it."""
    seconds: float
    """From when they wanted to hand in until they had the receipt."""
    tries: int


async def hand_in(client: httpx.AsyncClient, number: int) -> httpx.Response:
    """One try of one student."""
    return await _post(client, number, archive(number))


async def all_hand_in(url: str, students: int, within_s: float, had: list[HandedIn], limit_s: float = 300) -> None:
    """Each student hands in once, at a moment of their own within that time, and tries again until it worked.

    Who has a receipt is added to `had`. Raises TimeoutError when not everybody has one after `limit_s`.
    """
    chance = random.Random(students)
    # Every student has a server of their own: no connection is used twice.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with (
        asyncio.timeout(limit_s),
        httpx.AsyncClient(base_url=url, timeout=TRANSFER_LIMITS, limits=limits, trust_env=False) as client,
        asyncio.TaskGroup() as group,
    ):
        for number in range(students):
            group.create_task(_hand_in(client, number, chance.uniform(0, within_s), had))


async def _hand_in(client: httpx.AsyncClient, number: int, wait_s: float, had: list[HandedIn]) -> None:
    loop, chance = asyncio.get_running_loop(), random.Random(number)
    wanted = loop.time() + wait_s
    await asyncio.sleep(wait_s)
    body = archive(number)
    tries = 0
    while True:
        tries += 1
        try:
            answer = await _post(client, number, body)
        except httpx.TransportError:
            answer = None
        if answer is not None and answer.is_success:
            sha256 = hashlib.sha256(body).hexdigest()
            had.append(HandedIn(number, sha256, answer.json(), loop.time() - wanted, tries))
            return
        assert answer is None or answer.status_code in WORTH_ANOTHER_TRY, answer.text
        # As the client in people's servers waits, and then as people press the button again.
        await asyncio.sleep(PATIENT[min(tries, len(PATIENT)) - 1] * chance.uniform(0.5, 1.5))


async def _post(client: httpx.AsyncClient, number: int, body: bytes) -> httpx.Response:
    about = {"Authorization": f"token {token(student(number))}", "Idempotency-Key": key(number)}
    return await client.post(SUBMISSIONS, content=body, headers=GZIP | about)


# -- what must be true afterwards -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tally:
    """What is wrong; empty where all is as it should be."""

    lost: list[int]
    """Students who have no submission with the bytes that they sent, or no receipt that says so."""
    doubled: list[int]
    """Students who have more than one."""


async def tally(url: str, blobs: Blobs, students: int, had: Sequence[HandedIn]) -> Tally:
    """Compare what the service and its blob store have with what the students sent and were told."""
    async with teacher(url) as client:
        keys = (await client.get("/api/receipts/key")).raise_for_status().json()
        listed = await submissions(client)
    times = Counter(each["student"] for each in listed)
    kept = {each["student"]: each for each in listed}
    there = {
        each.number
        for each in had
        if student(each.number) in kept
        and _receipt_holds(each, keys, kept[student(each.number)])
        and await _digest(blobs, each.sha256) == each.sha256
    }
    return Tally(
        lost=[number for number in range(students) if number not in there],
        doubled=[number for number in range(students) if times[student(number)] > 1],
    )


async def submissions(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    """Everything that was handed in, from all pages."""
    found: list[dict[str, Any]] = []
    page = pages = 1
    while page <= pages:
        asked = {"assignment": ASSIGNMENT, "page": page, "per_page": 200}
        answer = (await client.get(f"/api/courses/{COURSE}/submissions", params=asked)).raise_for_status().json()
        found += answer["submissions"]
        page, pages = page + 1, answer["pages"]
    return found


def _receipt_holds(mine: HandedIn, keys: dict[str, Any], kept: dict[str, Any]) -> bool:
    receipt = verify(str(mine.answer["receipt"]), keys)
    said = (receipt.course, receipt.assignment, receipt.student, receipt.submission, receipt.sha256)
    meant = (COURSE, ASSIGNMENT, student(mine.number), str(kept["id"]), mine.sha256)
    at = datetime.fromisoformat(str(kept["submitted_at"]))
    return said == meant and kept["sha256"] == mine.sha256 and receipt.size == kept["size"] and receipt.time == at


async def _digest(blobs: Blobs, sha256: str) -> str:
    digest = hashlib.sha256()
    async for data in await blobs.read(sha256):
        digest.update(data)
    return digest.hexdigest()
