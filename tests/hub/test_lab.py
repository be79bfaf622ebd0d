"""What the hub decides with a real lab database: memberships of this moment, names bound once, refusals audited."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select, update

from kirzl_lab.catalog.loader import load
from kirzl_lab.catalog.models import RosterRow
from kirzl_lab.hub.lab import Lab
from kirzl_lab.hub.pages import Refused
from kirzl_lab.hub.spawner import LaptopHubSpawner
from kirzl_lab.problems import (
    LabDatabaseAway,
    NameTaken,
    NotAMember,
    PersonBlocked,
    Phrase,
    SizeFull,
    SizeUnavailable,
    UnknownSpace,
)
from kirzl_lab.settings import Settings
from kirzl_lab.spawning.capacity import Availability
from kirzl_lab.spawning.site import ClusterSite
from kirzl_lab.store.apply import apply
from kirzl_lab.store.database import Store
from kirzl_lab.store.lost import Reason
from kirzl_lab.store.tables import AuditEntry, Identity, Membership, Person, ServerBinding

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
WORK = {"space": "ml-101", "purpose": "work", "size": "cpu-small"}
ISSUERS = {name: f"http://localhost:9400/{name}" for name in ("uni", "uas", "startups")}


@pytest.fixture
async def lab(any_store: Store, tmp_path: Path) -> Lab:
    catalogue = load(ROOT / "hub_config", ROOT / "courses")
    settings = Settings(
        hub_config=ROOT / "hub_config",
        courses=ROOT / "courses",
        data=tmp_path,
        database_url="sqlite+aiosqlite:///:memory:",
        public_url="http://localhost:8000",
        demo_url="http://localhost:9400",
    )
    made = Lab(settings, catalogue, {"KIRZL_LAB_UAS_SECRET": "x"}, clock=lambda: NOW)
    await made.store.close()
    made.store = any_store
    await apply(any_store, catalogue, ISSUERS, now=NOW)
    return made


async def somebody(lab: Lab, hub_name: str, institution: str, claims: dict[str, list[str]]) -> None:
    async with lab.store.writing() as session:
        person = Person(hub_name=hub_name, display_name=hub_name, created_at=NOW)
        session.add(person)
        await session.flush()
        session.add(
            Identity(
                person_id=person.id,
                institution_name=institution,
                issuer=ISSUERS[institution],
                subject=hub_name,
                claims=claims,
                created_at=NOW,
                last_login_at=NOW,
            )
        )


STUDENT = {"matriculation_number": ["1000002"], "email": ["student2@uni.example"]}


async def last_starts(lab: Lab) -> list[datetime | None]:
    async with lab.store.reading() as session:
        return list(await session.scalars(select(ServerBinding.last_start_at)))


async def audited(lab: Lab) -> list[str]:
    async with lab.store.reading() as session:
        rows = await session.scalars(select(AuditEntry.action).where(AuditEntry.actor != "catalogue"))
        return list(rows)


async def test_a_member_gets_a_choice_and_the_name_is_bound(lab: Lab) -> None:
    await somebody(lab, "pstudent", "uni", STUDENT)
    choice = await lab.decide("pstudent", "mine", WORK, bind=True)
    assert (choice.space, choice.role, choice.server_name) == ("ml-101", "student", "mine")
    assert choice.materials_source == ROOT / "courses" / "ml-101" / "materials"
    with pytest.raises(NameTaken, match="mine"):
        await lab.decide("pstudent", "other", WORK, bind=True)
    assert (await lab.decide("pstudent", "mine", WORK, bind=True)).server_name == "mine"


async def test_looking_binds_no_name(lab: Lab) -> None:
    await somebody(lab, "pstudent", "uni", STUDENT)
    await lab.decide("pstudent", "first", WORK, bind=False)
    assert (await lab.decide("pstudent", "second", WORK, bind=True)).server_name == "second"


async def test_refusals_are_audited_and_bind_nothing(lab: Lab) -> None:
    await somebody(lab, "pfounder", "startups", {"email": ["founder@startups.example"]})
    for space, problem in (("ml-101", NotAMember), ("nowhere", UnknownSpace)):
        with pytest.raises(problem):
            await lab.decide("pfounder", "x", WORK | {"space": space}, bind=True)
    assert await audited(lab) == ["start-refused", "start-refused"]
    async with lab.store.reading() as session:
        assert (await session.scalars(select(ServerBinding))).all() == []
    assert (await lab.sight("pfounder")).facts == ()
    assert (await lab.sight("pfounder")).asserted == {"startups": {"email": ["founder@startups.example"]}}


async def test_a_refusal_stands_when_the_audit_cannot_be_written(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    await somebody(lab, "pfounder", "startups", {"email": ["founder@startups.example"]})

    async def away(*_args: Any, **_kwargs: Any) -> None:
        raise LabDatabaseAway()

    monkeypatch.setattr(lab, "_record", away)
    with pytest.raises(NotAMember):
        await lab.decide("pfounder", "x", WORK, bind=True)


async def test_what_did_not_count_is_seen_with_its_reasons(lab: Lab) -> None:
    await somebody(lab, "pearly", "uni", {})  # from before reasons were kept
    assert (await lab.sight("pearly")).dropped == {"uni": {}}
    async with lab.store.writing() as session:
        await session.execute(update(Identity).values(dropped={"email": ["email-not-verified"]}))
    assert (await lab.sight("pearly")).dropped == {"uni": {"email": ["email-not-verified"]}}


async def test_a_name_nobody_knows_opens_nothing(lab: Lab) -> None:
    with pytest.raises(NotAMember):
        await lab.decide("nobody", "x", WORK, bind=True)


async def test_a_blocked_person_opens_nothing(lab: Lab) -> None:
    await somebody(lab, "pstudent", "uni", STUDENT)
    async with lab.store.writing() as session:
        await session.execute(update(Person).values(blocked_at=NOW))
    for question in (lab.decide("pstudent", "x", WORK, bind=True), lab.sight("pstudent")):
        with pytest.raises(PersonBlocked, match="lab-help"):
            await question


async def test_a_roster_change_counts_at_the_next_click(lab: Lab) -> None:
    await somebody(lab, "plate", "uni", {"matriculation_number": ["1000099"], "email": ["late@uni.example"]})
    assert (await lab.sight("plate")).facts == ()
    course = lab.catalogue.courses["ml-101"]
    row = RosterRow(institution="uni", claim="matriculation_number", value="1000099", role="student")
    with_row = lab.catalogue.model_copy(
        update={
            "courses": lab.catalogue.courses | {"ml-101": course.model_copy(update={"roster": (*course.roster, row)})}
        }
    )
    await apply(lab.store, with_row, ISSUERS, now=NOW)
    assert [facts.space.name for facts in (await lab.sight("plate")).facts if facts.space] == ["ml-101"]
    assert (await lab.decide("plate", "ml-101", WORK, bind=True)).role == "student"
    await apply(lab.store, lab.catalogue, ISSUERS, now=NOW)
    with pytest.raises(NotAMember):
        await lab.decide("plate", "ml-101", WORK, bind=True)


async def test_a_start_remembers_whether_it_is_one_of_staff_and_a_look_at_it_does_not(lab: Lab) -> None:
    await somebody(lab, "plate", "uni", {"matriculation_number": ["1000099"]})
    course = lab.catalogue.courses["ml-101"]

    async def become(role: str) -> None:
        row = RosterRow(institution="uni", claim="matriculation_number", value="1000099", role=role)
        changed = {"ml-101": course.model_copy(update={"roster": (*course.roster, row)})}
        changed_lab = lab.catalogue.model_copy(update={"courses": lab.catalogue.courses | changed})
        await apply(lab.store, changed_lab, ISSUERS, now=NOW)

    async def what_is_told() -> list[Reason]:
        return [lost.loss.reason for lost in (await lab.sight("plate")).lost]

    await become("instructor")
    await lab.sight("plate")
    await lab.decide("plate", "ml-101", WORK, bind=True, starts=True)
    await lab.decide("plate", "seen", WORK | {"purpose": "preview"}, bind=True, starts=True)
    assert await what_is_told() == []
    await become("student")
    assert await what_is_told() == [Reason.DEMOTED], "the preview had nothing that a student may not have"
    await lab.decide("plate", "ml-101", WORK, bind=True)
    assert await what_is_told() == [Reason.DEMOTED], "a click on Start while the server runs starts nothing"
    await lab.decide("plate", "ml-101", WORK, bind=True, starts=True)
    assert await what_is_told() == []


async def test_whoever_is_taken_off_between_click_and_start_gets_no_server(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spawner's own last look, with a real spawner: nothing of a server is there afterwards."""
    await somebody(lab, "pstudent", "uni", STUDENT)
    await lab.decide("pstudent", "mine", WORK, bind=True)
    monkeypatch.setattr("kirzl_lab.hub.spawner.the_lab", lambda: lab)
    spawner = LaptopHubSpawner(data_folder=str(tmp_path / "data"), user_options=WORK)
    spawner.user, spawner.orm_spawner = SimpleNamespace(name="pstudent"), SimpleNamespace(name="mine", server=None)
    assert (await spawner.decide()).space == "ml-101"
    course = lab.catalogue.courses["ml-101"]
    rest = tuple(row for row in course.roster if row.value not in STUDENT["matriculation_number"])
    without = course.model_copy(update={"roster": rest})
    changed = lab.catalogue.model_copy(update={"courses": lab.catalogue.courses | {"ml-101": without}})
    await apply(lab.store, changed, ISSUERS, now=NOW)
    with pytest.raises(Refused) as refused:
        await spawner.start()
    assert (refused.value.status_code, refused.value.problem.slug) == (403, "not-a-member")
    assert not (tmp_path / "data").exists()
    assert await audited(lab) == ["roster-bound", "start-refused"]


async def test_two_starts_at_once_under_two_names_end_as_one(lab: Lab) -> None:
    await somebody(lab, "pstudent", "uni", STUDENT)
    answers = await asyncio.gather(
        *(lab.decide("pstudent", name, WORK, bind=True) for name in ("one", "two")), return_exceptions=True
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["Choice", "NameTaken"]


async def test_a_gpu_that_is_not_here_is_a_409_with_its_reason(lab: Lab) -> None:
    lab.unavailable = {"gpu-slice": next(iter(lab.unavailable.values()))}
    await somebody(lab, "pstudent", "uni", {"matriculation_number": ["1000001"]})
    with pytest.raises(SizeUnavailable) as refused:
        await lab.decide("pstudent", "dl", {"space": "dl-201", "purpose": "work", "size": "gpu-slice"}, bind=True)
    assert refused.value.status == 409


async def test_starts_and_stops_are_audited(lab: Lab) -> None:
    await somebody(lab, "pstudent", "uni", STUDENT)
    choice = await lab.decide("pstudent", "mine", WORK, bind=True)
    assert await last_starts(lab) == [None], "to be judged is not to start"
    await lab.started(choice)
    assert await last_starts(lab) == [NOW]
    await lab.stopped("pstudent", "mine", "ml-101", by="hub")
    assert await audited(lab) == ["roster-bound", "server-started", "server-stopped"]


async def test_a_database_that_does_not_answer_is_said_within_a_second(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_args: Any, **_kwargs: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("kirzl_lab.hub.lab.person_called", never)
    monkeypatch.setattr("kirzl_lab.hub.lab.DATABASE_LIMIT_S", 0.01)
    with pytest.raises(LabDatabaseAway):
        await lab.viewer("pstudent")


async def test_an_operator_is_seen_as_one(lab: Lab) -> None:
    await somebody(lab, "poperator", "uni", {"email": ["operator@uni.example"]})
    await lab.sight("poperator")
    viewer = await lab.viewer("poperator")
    assert viewer is not None
    assert viewer.operator
    async with lab.store.reading() as session:
        assert len((await session.scalars(select(Membership))).all()) == 1


async def test_in_a_cluster_what_can_be_had_is_asked_of_it_at_every_decision(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Cluster:
        async def now(self, _sizes: Any, _flavours: Any, leaving_out: str = "") -> Availability:
            asked.append(leaving_out)
            return Availability({"gpu-full": Phrase("none here")}, {"gpu-slice": 8})

    monkeypatch.setattr("kirzl_lab.spawning.cluster_capacity.capacity_of", lambda _namespace: Cluster())
    urls = {"hub_url": "http://hub:8081", "service_url": "http://service:8080", "proxy_api_url": "http://proxy:8001"}
    lab.site = ClusterSite(namespace="lab", release="lab", images={}, **urls)
    await somebody(lab, "pstudent", "uni", {"matriculation_number": ["1000001"]})
    options = {"space": "dl-201", "purpose": "work", "size": "gpu-slice"}
    with pytest.raises(SizeFull, match=r"8 of 8\): take cpu-medium now") as refused:
        await lab.decide("pstudent", "dl", options, bind=True)
    assert refused.value.status == 409
    assert asked == ["server-pstudent--dl-201"]
    async with lab.store.reading() as session:
        assert (await session.scalars(select(ServerBinding))).all() == []
    (facts,) = [facts for facts in (await lab.sight("pstudent")).facts if facts.space and facts.space.name == "dl-201"]
    assert set(facts.unavailable) == {"gpu-full"}
