"""A small lab for tests and pictures: a catalogue, people who logged in, and things that happened."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from kirzl_lab.catalog.models import Catalogue, Role
from kirzl_lab.store import audit
from kirzl_lab.store.apply import apply
from kirzl_lab.store.database import Store
from kirzl_lab.store.tables import Identity, Membership, Person, RosterEntry, ServerBinding, Space

NOW = datetime(2026, 11, 24, 8, 30, tzinfo=UTC)
OPERATOR, STUDENT, BLOCKED, STRANGER = "operator-9x4d", "student-k7f2", "blocked-0q1z", "nobody-known"
INSTRUCTOR, ASSISTANT, COLLEAGUE, OUTSIDER = "instructor-3w8r", "assistant-5t2v", "colleague-6b1c", "outsider-8d4s"
"""Who runs ml-101, who helps there, a student beside `STUDENT`, and who runs dl-201 alone."""
ISSUERS = {"uni": "https://login.uni.example", "uas": "https://id.uas.example/realms/main"}

CATALOGUE = Catalogue.model_validate(
    {
        "lab": {
            "title": {"de": "KIRZL Lab", "en": "KIRZL Lab"},
            "contact": "lab-help@uni.example",
            "operators": [{"institution": "uni", "claim": "email", "value": "operator@uni.example"}],
        },
        "sizes": {
            "cpu-small": {"title": {"de": "Klein", "en": "Small"}, "cpus": 1, "memory_gib": 2},
            "cpu-medium": {"title": {"de": "Mittel", "en": "Medium"}, "cpus": 2, "memory_gib": 4},
        },
        "flavours": {},
        "institutions": {
            name: {
                "title": title,
                "issuer": ISSUERS[name],
                "client_id": "kirzl-lab",
                "domains": [f"{name}.example"],
                "claims": ["email", "matriculation_number"],
            }
            for name, title in {
                "uni": {"de": "Beispiel-Universität", "en": "Example University"},
                "uas": {"de": "Hochschule Beispiel", "en": "Example University of Applied Sciences"},
            }.items()
        },
        "courses": {
            "ml-101": {
                "name": "ml-101",
                "file": {
                    "title": {"de": "Einführung in maschinelles Lernen", "en": "Introduction to Machine Learning"},
                    "term": "2026/27 winter",
                    "starts": "2026-10-12",
                    "ends": "2027-03-31",
                    "sizes": ["cpu-small", "cpu-medium"],
                    "default_size": "cpu-small",
                },
                "roster": [
                    {"institution": "uni", "claim": "email", "value": "student@uni.example", "role": "student"},
                    {"institution": "uni", "claim": "matriculation_number", "value": "1000002", "role": "student"},
                    {"institution": "uas", "claim": "email", "value": "assistant@uas.example", "role": "assistant"},
                ],
            },
            "dl-201": {
                "name": "dl-201",
                "file": {
                    "title": {"de": "Tiefe neuronale Netze", "en": "Deep Neural Networks"},
                    "term": "2027 summer",
                    "starts": "2027-04-05",
                    "ends": "2027-07-16",
                    "sizes": ["cpu-medium", "gone-size"],
                    "default_size": "cpu-medium",
                },
                "roster": [
                    {
                        "institution": "uni",
                        "claim": "email",
                        "value": "student@uni.example",
                        "role": "student",
                        "section": "Tuesday",
                    },
                ],
            },
        },
    }
)


@dataclass(frozen=True)
class Login:
    """Somebody who has logged in, and the roster rows that became theirs."""

    hub_name: str
    display_name: str
    institution: str
    subject: str
    claims: dict[str, list[str]]


PEOPLE = (
    Login(OPERATOR, "Operator on duty", "uni", "s-1", {"email": ["operator@uni.example"]}),
    Login(STUDENT, "Student Prüfling", "uni", "s-2", {"email": ["student@uni.example"]}),
    Login(BLOCKED, "Blocked <b>Quick</b>", "uas", "s-3", {"email": ["blocked@uas.example"]}),
)


async def fill(store: Store, people: tuple[Login, ...] = PEOPLE) -> None:
    """Apply the catalogue, let the people log in, block one of them."""
    await apply(store, CATALOGUE, ISSUERS, now=NOW - timedelta(days=40))
    for number, login in enumerate(people):
        async with store.writing() as session:
            await _log_in(session, login, NOW - timedelta(days=30, minutes=7 * number))
    async with store.writing() as session:
        blocked = (await session.scalars(select(Person).where(Person.hub_name == BLOCKED))).one()
        blocked.blocked_at = NOW - timedelta(days=2)
        audit.record(
            session, at=blocked.blocked_at, actor=OPERATOR, action=audit.Action.PERSON_BLOCKED, person_id=blocked.id
        )
        student = (await session.scalars(select(Person).where(Person.hub_name == STUDENT))).one()
        space = (await session.scalars(select(Space).where(Space.name == "ml-101"))).one()
        session.add(
            ServerBinding(
                person_id=student.id,
                server_name="ml-101",
                space_id=space.id,
                purpose="work",
                created_at=NOW - timedelta(hours=1),
            )
        )
        audit.record(
            session,
            at=NOW - timedelta(hours=1),
            actor=STUDENT,
            action=audit.Action.SERVER_STARTED,
            person_id=student.id,
            space_id=space.id,
            detail={"server": "ml-101", "size": "cpu-small", "purpose": "work"},
        )
        audit.record(
            session,
            at=NOW - timedelta(minutes=20),
            actor=BLOCKED,
            action=audit.Action.START_REFUSED,
            person_id=blocked.id,
            detail={"space": "<script>alert(1)</script>", "size": "gpu-full", "problem": "unknown-space"},
        )


async def _log_in(session: AsyncSession, login: Login, at: datetime) -> None:
    person = Person(hub_name=login.hub_name, display_name=login.display_name, created_at=at)
    session.add(person)
    await session.flush()
    session.add(
        Identity(
            person_id=person.id,
            institution_name=login.institution,
            issuer=ISSUERS[login.institution],
            subject=login.subject,
            claims=login.claims,
            created_at=at,
            last_login_at=at,
        )
    )
    what = {"person_id": person.id, "institution": login.institution}
    audit.record(session, at=at, actor=login.hub_name, action=audit.Action.PERSON_CREATED, **what)
    rows = await session.scalars(select(RosterEntry).where(RosterEntry.institution_name == login.institution))
    for row in rows:
        if row.value in login.claims.get(row.claim, ()):
            row.bound_person_id, row.bound_at = person.id, at
            session.add(
                Membership(
                    person_id=person.id,
                    space_id=row.space_id,
                    roster_row_id=row.id,
                    role=Role(row.role),
                    section=row.section,
                    created_at=at,
                )
            )
            detail = {"roster_row": row.id, "claim": row.claim, "value": row.value, "role": row.role}
            bound = audit.Action.ROSTER_BOUND
            audit.record(
                session, at=at, actor=login.hub_name, action=bound, space_id=row.space_id, detail=detail, **what
            )


COURSE_PEOPLE = (
    (
        Login(INSTRUCTOR, "Instructor Prüferin", "uni", "s-11", {"email": ["instructor@uni.example"]}),
        "ml-101",
        Role.INSTRUCTOR,
    ),
    (
        Login(ASSISTANT, "Assistant Tutor", "uas", "s-12", {"email": ["assistant@uas.example"]}),
        "ml-101",
        Role.ASSISTANT,
    ),
    (
        Login(COLLEAGUE, "Colleague in the evening", "uas", "s-13", {"email": ["colleague@uas.example"]}),
        "ml-101",
        Role.STUDENT,
    ),
    (
        Login(OUTSIDER, "Outsider Lecturer", "uni", "s-14", {"email": ["outsider@uni.example"]}),
        "dl-201",
        Role.INSTRUCTOR,
    ),
)


async def fill_courses(store: Store) -> None:
    """Let people of each role into the courses, each with a server for every purpose there; `STUDENT` has one in both."""
    async with store.writing() as session:
        student = (await session.scalars(select(Person).where(Person.hub_name == STUDENT))).one()
        space = (await session.scalars(select(Space).where(Space.name == "dl-201"))).one()
        session.add(_binding(student, space, "dl-201", "work"))
    for number, (login, course, role) in enumerate(COURSE_PEOPLE):
        async with store.writing() as session:
            at = NOW - timedelta(days=25, minutes=number)
            space = (await session.scalars(select(Space).where(Space.name == course))).one()
            promised = RosterEntry.space_id == space.id, RosterEntry.value == login.claims["email"][0]
            if (await session.scalars(select(RosterEntry).where(*promised))).one_or_none() is None:
                session.add(
                    RosterEntry(
                        space_id=space.id,
                        institution_name=login.institution,
                        claim="email",
                        value=login.claims["email"][0],
                        role=role,
                        created_at=at,
                    )
                )
                await session.flush()
            await _log_in(session, login, at)
            person = (await session.scalars(select(Person).where(Person.hub_name == login.hub_name))).one()
            for purpose, server_name in (("work", course), ("preview", f"{course}-preview")):
                session.add(_binding(person, space, server_name, purpose))


def _binding(person: Person, space: Space, server_name: str, purpose: str) -> ServerBinding:
    return ServerBinding(
        person_id=person.id, server_name=server_name, space_id=space.id, purpose=purpose, created_at=NOW
    )


NAMES = [
    "Auditor Hörerin",
    "Beginner Neuling",
    "Candidate Bewerberin",
    "Debutant Erstsemester",
    "Examinee Kandidat",
    "Fresher Anfängerin",
    "Guest Gasthörer",
    "Helper Hilfskraft",
    "Intern Praktikantin",
    "Joiner Nachrückerin",
    "Keeper Hüterin",
    "Learner Lernende",
    "Member Mitglied",
    "Novice in the second year",
    "Observer Beobachter",
    "Participant Teilnehmende",
    "Questioner Stipendiat-Gaststudent der Informatik",
    "Reader Leserin",
    "Scholar Słuchaczka",
    "Trainee Étudiante",
]


async def fill_crowd(store: Store) -> None:
    """More people than a page shows, and more that happened."""
    async with store.writing() as session:
        space = (await session.scalars(select(Space).where(Space.name == "ml-101"))).one()
        for number in range(60):
            name = NAMES[number % len(NAMES)]
            hub_name = f"{name.split()[0].lower()}-{number:04d}"
            institution = "uas" if number % 3 == 0 else "uni"
            claims = {"email": [f"{hub_name}@{institution}.example"]}
            login = Login(hub_name, name, institution, f"crowd-{number}", claims)
            at = NOW - timedelta(days=20, minutes=13 * number)
            await _log_in(session, login, at)
            person = (await session.scalars(select(Person).where(Person.hub_name == hub_name))).one()
            detail = {"server": "ml-101", "size": "cpu-small", "purpose": "work"}
            what = {"at": at + timedelta(hours=1), "actor": hub_name, "person_id": person.id}
            audit.record(session, action=audit.Action.SERVER_STARTED, space_id=space.id, detail=detail, **what)
