"""What operators see: search, filters and pages, the same on both databases."""

from datetime import timedelta

import pytest

from kirzl_lab.catalog.models import Kind, Role
from kirzl_lab.store import audit
from kirzl_lab.store.apply import apply
from kirzl_lab.store.database import Store
from kirzl_lab.store.pages import Page, audit_page, person_line, persons_page, spaces_page
from kirzl_lab.store.people import block
from tests.store.conftest import ISSUERS, NOW, bind, catalogue, course, log_in

LIKE_WORDS = ["%", "_", "/", "\\", "'", "\x00", "\ud800", "[a-z]", "*"]


async def hub_names(
    store: Store, search: str = "", institution: str | None = None, blocked: bool | None = None
) -> list[str]:
    async with store.reading() as session:
        page = await persons_page(session, search=search, institution=institution, blocked=blocked)
        assert page.total == len(page.items)
        return [line.hub_name for line in page.items]


async def space_names(store: Store, search: str = "", archived: bool | None = None) -> list[str]:
    async with store.reading() as session:
        return [line.name for line in (await spaces_page(session, search=search, archived=archived)).items]


@pytest.fixture
async def people(any_store: Store) -> Store:
    """An alternate instructs, a student studies in an archived course too, `ältere_x` waits for nothing, root operates."""
    rows = (("a", "nr", "1", "instructor"), ("b", "nr", "2", "student", "Mon"), ("b", "nr", "3", "student"))
    both = (
        course("ml", *rows),
        course("old_".strip("_"), rows[1], title={"de": "Altes & Übriges", "en": "100% old_stuff"}),
    )
    operators = (("a", "nr", "9"),)
    await apply(any_store, catalogue(*both, operators=operators), ISSUERS, now=NOW)
    alternate = await log_in(
        any_store, "alternate", "a", ISSUERS["a"], {"email": ["alternate.Prüfer@a.example"], "nr": ["1"]}
    )
    student = await log_in(any_store, "student", "b", ISSUERS["b"], {"nr": ["2"]})
    await log_in(any_store, "ältere_x", "b", ISSUERS["b"])
    root = await log_in(any_store, "root", "a", ISSUERS["a"])
    for person, value in ((alternate, "1"), (student, "2"), (root, "9")):
        await bind(any_store, person, value)
    await apply(any_store, catalogue(both[0], operators=operators), ISSUERS, now=NOW)
    async with any_store.writing() as session:
        await block(session, "student", "root", NOW)
    return any_store


async def test_persons_are_found_by_name_subject_and_claims(people: Store) -> None:
    assert await hub_names(people) == ["alternate", "root", "student", "ältere_x"]
    assert await hub_names(people, "ALT") == ["alternate"]
    assert await hub_names(people, "ÄLTERE") == ["ältere_x"]
    assert await hub_names(people, "alternate.prüfer@A") == ["alternate"]
    assert await hub_names(people, "nobody") == []


async def test_persons_are_filtered(people: Store) -> None:
    assert await hub_names(people, institution="b") == ["student", "ältere_x"]
    assert await hub_names(people, institution="b", blocked=False) == ["ältere_x"]
    assert await hub_names(people, blocked=True) == ["student"]
    assert await hub_names(people, institution="c") == []


@pytest.mark.parametrize("search", LIKE_WORDS)
async def test_a_search_means_what_it_says(people: Store, search: str) -> None:
    assert await hub_names(people, search) == (["ältere_x"] if search == "_" else [])
    assert await space_names(people, search) == (["old"] if search in "%_" else [])


async def test_a_person_comes_with_identities_roles_and_the_last_login(people: Store) -> None:
    async with people.reading() as session:
        student = await person_line(session, "student")
        root = await person_line(session, "root")
        assert await person_line(session, "stu\x00dent") is None
    assert student is not None
    assert root is not None
    assert (student.institutions, student.last_login_at, student.blocked_at, student.operator) == (
        ("b",),
        NOW,
        NOW,
        False,
    )
    assert [(m.space, m.role, m.section, m.archived) for m in student.memberships] == [
        ("ml", Role.STUDENT, "Mon", False),
        ("old", Role.STUDENT, "Mon", True),
    ]
    assert (root.operator, root.memberships) == (True, ())
    assert [(i.institution, i.issuer, i.subject) for i in root.identities] == [("a", ISSUERS["a"], "root")]


async def test_spaces_come_with_members_and_who_is_waited_for(people: Store) -> None:
    async with people.reading() as session:
        [ml, old] = (await spaces_page(session)).items
        assert (await spaces_page(session, kind=Kind.SANDBOX)).items == ()
        assert (await spaces_page(session, kind=Kind.COURSE)).total == 2
    assert (ml.members, ml.waiting, ml.archived_at) == ({Role.INSTRUCTOR: 1, Role.STUDENT: 1}, 1, None)
    assert (old.members, old.waiting, old.archived_at) == ({Role.STUDENT: 1}, 0, NOW)
    assert (ml.kind, ml.title.en, ml.managed_by) == (Kind.COURSE, "ml", "ml/course.yaml")
    assert await space_names(people, "übrig") == ["old"]
    assert await space_names(people, archived=True) == ["old"]
    assert await space_names(people, archived=False) == ["ml"]


async def test_the_audit_is_filtered(people: Store) -> None:
    later = NOW + timedelta(minutes=1)
    async with people.writing() as session:
        audit.record(
            session, at=later, actor="student", action=audit.Action.LOGIN, institution="b", detail={"n": 1}, note="x"
        )
    async with people.reading() as session:
        [line] = (await audit_page(session, actor="student")).items
        assert (line.at, line.action, line.institution, line.detail, line.note) == (later, "login", "b", {"n": 1}, "x")
        assert (line.person, line.space) == (None, None)
        [blocked] = (await audit_page(session, person="student")).items
        assert (blocked.action, blocked.person) == ("person-blocked", "student")
        everything = await audit_page(session, per_page=1000)
        assert everything.items[0] == line
        assert [entry.id for entry in everything.items] == sorted((e.id for e in everything.items), reverse=True)
        archived = (await audit_page(session, space="old", action=audit.Action.SPACE_ARCHIVED)).items
        assert [(entry.space, entry.actor) for entry in archived] == [("old", "catalogue")]
        assert (await audit_page(session, since=later)).items == (line,)
        assert (await audit_page(session, until=later)).total == everything.total - 1
        assert (await audit_page(session, institution="b", since=later)).total == 1
        for bad in ("nobody", "a\x00", "\ud800"):
            assert (await audit_page(session, actor=bad)).total == 0
            assert (await audit_page(session, person=bad)).total == 0


async def test_pages_hold_everything_once(any_store: Store) -> None:
    await apply(any_store, catalogue(), ISSUERS, now=NOW)
    names = [f"p{number:02}" for number in range(23)]
    for name in names:
        await log_in(any_store, name, "a", ISSUERS["a"])
    async with any_store.reading() as session:
        pages = [await persons_page(session, page=number, per_page=10) for number in (1, 2, 3, 4, 10**30, 0, -5)]
    assert [line.hub_name for page in pages[:3] for line in page.items] == names
    assert {(page.total, page.pages) for page in pages} == {(23, 3)}
    assert [len(page.items) for page in pages] == [10, 10, 3, 0, 0, 10, 10]
    assert Page(items=(), page=1, per_page=10, total=0).pages == 1
