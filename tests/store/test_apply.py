"""`apply` on both databases: what it tells, what it writes, and what it never takes away."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import String, cast, event, func, insert, literal, select, update

from kirzl_lab.catalog.loader import load
from kirzl_lab.catalog.models import Catalogue, Role, RosterRow
from kirzl_lab.problems import CatalogueRefused
from kirzl_lab.store import apply as apply_module
from kirzl_lab.store.apply import Change, apply
from kirzl_lab.store.audit import Action
from kirzl_lab.store.database import Store
from kirzl_lab.store.members import is_operator, memberships
from kirzl_lab.store.tables import AuditEntry, Membership, Person, RosterEntry, ServerBinding, Space, UtcDateTime
from tests.store.conftest import ISSUERS, NOW, bind, catalogue, course, log_in, memory

REPOSITORY = Path(__file__).parents[2]
LATER = NOW + timedelta(days=1)
STUDENT = ("a", "email", "student1@a.example", "student", "Mon")
ASSISTANT = ("b", "nr", "B-17", "assistant")


NUL = RosterRow.model_construct(institution="a", claim="nr", value="1\x002", role=Role.STUDENT, section="")
"""The loader refuses such a row already, with its line."""


def actions(changes: Sequence[Change]) -> list[Action]:
    return [change.action for change in changes]


async def test_the_sample_catalogue_comes_in_once(any_store: Store) -> None:
    sample = load(REPOSITORY / "hub_config", REPOSITORY / "courses")
    foreseen = await apply(any_store, sample, {}, now=NOW, dry_run=True)
    assert (await memory(any_store))["spaces"] == []
    assert await apply(any_store, sample, {}, now=NOW) == foreseen
    assert {"course ml-101", "operator: uni email operator@uni.example"} <= {change.what for change in foreseen}
    assert await apply(any_store, sample, {}, now=LATER) == []


async def test_every_change_is_in_the_audit(any_store: Store) -> None:
    changes = await apply(any_store, catalogue(course("ml", STUDENT)), ISSUERS, now=NOW)
    async with any_store.reading() as session:
        rows = (
            await session.execute(
                select(AuditEntry, Space.name).outerjoin(Space, Space.id == AuditEntry.space_id).order_by(AuditEntry.id)
            )
        ).all()
    told = [(e.action, space, e.institution_name, e.detail) for e, space in rows]
    assert told == [(c.action, c.space, c.institution, c.detail) for c in changes]
    assert {(entry.actor, entry.at) for entry, _ in rows} == {("catalogue", NOW)}


async def test_a_change_reads_as_one_line(any_store: Store) -> None:
    await apply(any_store, catalogue(course("ml", STUDENT)), ISSUERS, now=NOW)
    promoted = catalogue(course("ml", ("a", "email", "student1@a.example", "assistant")))
    [change] = await apply(any_store, promoted, ISSUERS, now=LATER)
    assert str(change) == (
        "roster-changed: assistant of ml: a email student1@a.example (role: student → assistant, section: Mon → nothing)"
    )


async def test_a_course_that_goes_is_archived_and_comes_back_with_its_work(any_store: Store) -> None:
    both = catalogue(course("ml", STUDENT), course("dl", ASSISTANT))
    await apply(any_store, both, ISSUERS, now=NOW)
    student = await log_in(any_store, "student1", "a", ISSUERS["a"])
    await bind(any_store, student, "student1@a.example")
    async with any_store.writing() as session:
        space_id = (await session.execute(select(Space.id).where(Space.name == "ml"))).scalar_one()
        session.add(
            ServerBinding(person_id=student, server_name="ml", space_id=space_id, purpose="work", created_at=NOW)
        )
    before = await memory(any_store)

    gone = await apply(any_store, catalogue(course("dl", ASSISTANT)), ISSUERS, now=LATER)
    assert actions(gone) == [Action.SPACE_ARCHIVED]
    async with any_store.reading() as session:
        assert await memberships(session, student) == []
        assert (await session.execute(select(func.count()).select_from(ServerBinding))).scalar() == 1

    back = await apply(any_store, both, ISSUERS, now=LATER)
    assert actions(back) == [Action.SPACE_RESTORED]
    assert await memory(any_store) == before


async def test_a_row_that_goes_ends_the_membership_and_comes_back_bound(any_store: Store) -> None:
    full = catalogue(course("ml", STUDENT, ASSISTANT))
    await apply(any_store, full, ISSUERS, now=NOW)
    student = await log_in(any_store, "student1", "a", ISSUERS["a"])
    await bind(any_store, student, "student1@a.example")
    before = await memory(any_store)

    [gone] = await apply(any_store, catalogue(course("ml", ASSISTANT)), ISSUERS, now=LATER)
    assert (gone.action, gone.person_id, gone.space) == (Action.ROSTER_REMOVED, student, "ml")
    async with any_store.reading() as session:
        assert await memberships(session, student) == []
        row = (await session.scalars(select(RosterEntry).where(RosterEntry.claim == "email"))).one()
        assert (row.removed_at, row.bound_person_id) == (LATER, student)

    [back] = await apply(any_store, full, ISSUERS, now=LATER)
    assert back.action == Action.ROSTER_RESTORED
    assert await memory(any_store) == before


async def test_a_changed_role_and_section_reach_the_membership(any_store: Store) -> None:
    await apply(any_store, catalogue(course("ml", STUDENT, ASSISTANT)), ISSUERS, now=NOW)
    student = await log_in(any_store, "student1", "a", ISSUERS["a"])
    await bind(any_store, student, "student1@a.example")
    promoted = catalogue(course("ml", ("a", "email", "student1@a.example", "instructor", "Tue"), ASSISTANT))
    [change] = await apply(any_store, promoted, ISSUERS, now=LATER)
    assert change.detail["role"] == ["student", "instructor"]
    async with any_store.reading() as session:
        [member] = await memberships(session, student)
        assert (member.role, member.section) == ("instructor", "Tue")


async def test_operators_come_and_go(any_store: Store) -> None:
    await apply(any_store, catalogue(operators=(("a", "email", "Root@A.example"),)), ISSUERS, now=NOW)
    root = await log_in(any_store, "root", "a", ISSUERS["a"])
    await bind(any_store, root, "root@a.example")
    async with any_store.reading() as session:
        assert await is_operator(session, root)
    assert actions(await apply(any_store, catalogue(), ISSUERS, now=LATER)) == [Action.ROSTER_REMOVED]
    async with any_store.reading() as session:
        assert not await is_operator(session, root)


async def test_e_mail_addresses_are_kept_in_lower_case_and_other_values_as_they_are(any_store: Store) -> None:
    rows = (("a", "email", "Student1@A.Example", "student"), ("a", "email", "student1@a.example", "student"), ASSISTANT)
    await apply(any_store, catalogue(course("ml", *rows)), ISSUERS, now=NOW)
    async with any_store.reading() as session:
        values = set(await session.scalars(select(RosterEntry.value)))
    assert values == {"student1@a.example", "B-17"}


async def test_texts_arrive_as_they_were_written(any_store: Store) -> None:
    awkward = 'Student\'s "x" \\ %s :y {z} ☃ 🧪 é --; DROP TABLE persons'
    odd = course("ml", ("a", "nr", awkward, "student", "Ü'\"%"), title={"de": awkward, "en": awkward})
    await apply(any_store, catalogue(odd), ISSUERS, now=NOW)
    assert await apply(any_store, catalogue(odd), ISSUERS, now=LATER) == []
    async with any_store.reading() as session:
        assert (await session.scalars(select(RosterEntry.value))).one() == awkward
        assert (await session.scalars(select(Space.title_de))).one() == awkward


@pytest.mark.parametrize(
    ("refused", "issuers", "words"),
    [
        (
            catalogue(course("ml").model_copy(update={"roster": (NUL,)})),
            ISSUERS,
            "the roster of ml holds a text with a NUL",
        ),
        (catalogue(course("ml", title={"de": "x\x00", "en": "x"})), ISSUERS, "the course ml holds a text with a NUL"),
        (
            catalogue(course("ml", STUDENT, ("a", "email", "STUDENT1@a.example", "instructor"))),
            ISSUERS,
            "the roster of ml promises two different roles",
        ),
        (catalogue(), {"a": "https://x.example", "b": "https://x.example"}, "a and b have one issuer"),
        (catalogue(), {"a": "https://x.example"}, "the institution b has no issuer"),
        (catalogue(course("ml", ("c", "nr", "1", "student"))), ISSUERS, "the institution c, which does not exist"),
    ],
)
async def test_a_catalogue_that_cannot_be_stored_is_refused_before_anything_changes(
    any_store: Store, refused: Catalogue, issuers: dict[str, str], words: str
) -> None:
    for dry_run in (True, False):
        with pytest.raises(CatalogueRefused, match=words):
            await apply(any_store, refused, issuers, now=NOW, dry_run=dry_run)
    assert not any((await memory(any_store)).values())


async def test_a_space_that_no_file_describes_is_not_taken_over(any_store: Store) -> None:
    async with any_store.writing() as session:
        session.add(Space(name="ml", kind="research", title_de="x", title_en="x", spec={}, created_at=NOW))
    with pytest.raises(CatalogueRefused, match="there is a research called ml already"):
        await apply(any_store, catalogue(course("ml")), ISSUERS, now=NOW)
    await apply(any_store, catalogue(course("dl")), ISSUERS, now=NOW)
    async with any_store.reading() as session:
        space = (await session.scalars(select(Space).where(Space.name == "ml"))).one()
        assert space.archived_at is None


async def test_an_apply_that_fails_at_its_last_step_leaves_nothing(
    any_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(apply_module, "write_audit", fail)
    with pytest.raises(RuntimeError, match="disk is full"):
        await apply(any_store, catalogue(course("ml", STUDENT)), ISSUERS, now=NOW)
    assert not any((await memory(any_store)).values())


async def test_a_membership_that_lost_its_row_or_its_role_is_mended(any_store: Store) -> None:
    both = catalogue(course("ml", STUDENT, ASSISTANT))
    await apply(any_store, both, ISSUERS, now=NOW)
    student = await log_in(any_store, "student1", "a", ISSUERS["a"])
    await bind(any_store, student, "student1@a.example")
    good = await memory(any_store)
    async with any_store.writing() as session:
        (await session.scalars(select(Membership))).one().role = "instructor"
    assert actions(await apply(any_store, both, ISSUERS, now=LATER)) == [Action.MEMBERSHIP_MENDED]
    assert await memory(any_store) == good


async def test_a_roster_of_5000_bound_rows_is_written_in_bulk(any_store: Store) -> None:
    rows = [("a", "nr", str(number), "student") for number in range(5000)]
    full, changed = (catalogue(course("ml", *((*row, section) for row in rows))) for section in ("Mon", "Tue"))
    for step in (full, changed, catalogue(course("ml")), full):
        with statements(any_store) as sent:
            assert len(await apply(any_store, step, ISSUERS, now=NOW)) >= 5000
        assert len(sent) < 200, "a statement for each row would be 5000"
        if step is full:
            await bind_everything(any_store)
    async with any_store.reading() as session:
        assert (await session.execute(select(func.count()).select_from(Membership))).scalar() == 5000


@contextmanager
def statements(store: Store) -> Iterator[list[str]]:
    """What is sent to the database while the block runs; many rows in one call count once."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    event.listen(store.engine.sync_engine, "before_cursor_execute", note)
    yield sent
    event.remove(store.engine.sync_engine, "before_cursor_execute", note)


async def bind_everything(store: Store) -> None:
    """Bind each waiting row to a person of its own, in bulk."""
    row, now = RosterEntry, literal(NOW, UtcDateTime())
    waiting = row.bound_person_id.is_(None)
    name = "p" + cast(row.id, String)
    people = select(row.id, name, name, now).where(waiting)
    members = select(row.id, row.space_id, row.id, row.role, row.section, now).where(waiting)
    async with store.writing() as session:
        await session.execute(insert(Person).from_select(["id", "hub_name", "display_name", "created_at"], people))
        await session.execute(
            insert(Membership).from_select(
                ["person_id", "space_id", "roster_row_id", "role", "section", "created_at"], members
            )
        )
        await session.execute(update(row).where(waiting).values(bound_person_id=row.id, bound_at=NOW))
