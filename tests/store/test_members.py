"""Who may open what."""

from sqlalchemy import select

from kirzl_lab.catalog.models import Role
from kirzl_lab.store.apply import apply
from kirzl_lab.store.database import Store
from kirzl_lab.store.members import bindings, is_operator, memberships, person_called, space_called
from kirzl_lab.store.tables import ServerBinding, Space
from tests.store.conftest import ISSUERS, NOW, bind, catalogue, course, log_in


async def test_the_strongest_of_several_roles_counts(any_store: Store) -> None:
    rows = (
        ("a", "nr", "1", "student", "Mon"),
        ("a", "email", "instructor@a.example", "instructor"),
        ("a", "nr", "2", "assistant"),
    )
    await apply(any_store, catalogue(course("ml", *rows), course("dl", rows[0])), ISSUERS, now=NOW)
    instructor = await log_in(any_store, "instructor", "a", ISSUERS["a"])
    for _, _, value, *_ in rows:
        await bind(any_store, instructor, value)
    async with any_store.reading() as session:
        assert [(member.space.name, member.role) for member in await memberships(session, instructor)] == [
            ("dl", Role.STUDENT),
            ("ml", Role.INSTRUCTOR),
        ]


async def test_a_role_in_a_space_makes_nobody_an_operator(any_store: Store) -> None:
    wanted = catalogue(course("ml", ("a", "nr", "1", "instructor")), operators=(("a", "nr", "2"),))
    await apply(any_store, wanted, ISSUERS, now=NOW)
    instructor, root = [await log_in(any_store, name, "a", ISSUERS["a"]) for name in ("instructor", "root")]
    await bind(any_store, instructor, "1")
    await bind(any_store, root, "2")
    async with any_store.reading() as session:
        assert [await is_operator(session, person) for person in (instructor, root)] == [False, True]
        assert await memberships(session, root) == []


async def test_names_nobody_has_are_nobody(any_store: Store) -> None:
    await apply(any_store, catalogue(course("ml")), ISSUERS, now=NOW)
    await log_in(any_store, "instructor", "a", ISSUERS["a"])
    async with any_store.reading() as session:
        assert (await person_called(session, "instructor")) is not None
        assert (await space_called(session, "ml")) is not None
        for name in ("Instructor", "instructor ", "instr\x00uctor", "\ud800", "", "%"):
            assert await person_called(session, name) is None
            assert await space_called(session, name) is None


async def test_an_archived_space_is_not_called(any_store: Store) -> None:
    await apply(any_store, catalogue(course("ml")), ISSUERS, now=NOW)
    await apply(any_store, catalogue(), ISSUERS, now=NOW)
    async with any_store.reading() as session:
        assert await space_called(session, "ml") is None


async def test_bindings_tell_what_each_server_name_means(any_store: Store) -> None:
    await apply(any_store, catalogue(course("ml")), ISSUERS, now=NOW)
    instructor = await log_in(any_store, "instructor", "a", ISSUERS["a"])
    async with any_store.writing() as session:
        ml = (await session.scalars(select(Space.id))).one()
        for name, purpose in (("ml-preview", "preview"), ("ml", "work")):
            session.add(
                ServerBinding(person_id=instructor, server_name=name, space_id=ml, purpose=purpose, created_at=NOW)
            )
    async with any_store.reading() as session:
        assert [(b.server_name, b.space, b.purpose) for b in await bindings(session, instructor)] == [
            ("ml", "ml", "work"),
            ("ml-preview", "ml", "preview"),
        ]
