"""The comparison itself, without a database: steps that lead there, and no step once there."""

from hypothesis import given, settings
from hypothesis import strategies as st

from kirzl_lab.store.audit import Action
from kirzl_lab.store.difference import (
    Change,
    InstitutionFacts,
    KnownRow,
    SpaceFacts,
    institution_steps,
    roster_steps,
    space_changes,
)

ADDRESSES = st.sampled_from([f"https://{number}.example" for number in range(4)])
NAMES = st.sampled_from(["a", "b", "c"])


@st.composite
def wanted_institutions(draw: st.DrawFn) -> dict[str, InstitutionFacts]:
    addresses = draw(st.permutations([f"https://{number}.example" for number in range(4)]))
    facts = {}
    for name, address in zip(draw(st.lists(NAMES, unique=True)), addresses, strict=False):
        demo = draw(st.booleans())
        issuer = None if demo and draw(st.booleans()) else address
        facts[name] = InstitutionFacts(name, issuer, demo, draw(st.sampled_from("xy")), "x")
    return facts


@settings(max_examples=100)
@given(
    st.lists(wanted_institutions(), min_size=1, max_size=5),
    st.lists(st.tuples(NAMES, st.sampled_from("st")), max_size=4, unique=True),
)
def test_no_two_people_ever_become_one(sites: list[dict[str, InstitutionFacts]], logins: list[tuple[str, str]]) -> None:
    known: dict[str, InstitutionFacts] = {}
    people: dict[int, tuple[str, str, str]] = {}
    for wanted in sites:
        groups: dict[tuple[str, str], int] = {}
        for name, issuer, _ in people.values():
            groups[name, issuer] = groups.get((name, issuer), 0) + 1
        steps = institution_steps(known, wanted, groups)
        moves = {(name, before): after for name, before, after in steps.moves}
        takeovers = dict(steps.takeovers)
        for person, (name, issuer, subject) in people.items():
            to = moves.get((name, issuer))
            assert to is None or (known[name].demo and wanted[name].demo), "only demo people follow an issuer"
            people[person] = (name, to, subject) if to else (takeovers.get(issuer, name), issuer, subject)
        known = known | {facts.name: facts for facts in (*steps.new, *steps.changed)}

        identities = [(issuer, subject) for _, issuer, subject in people.values()]
        assert len(set(identities)) == len(identities)
        issuers = [facts.issuer for facts in known.values() if facts.issuer]
        assert len(set(issuers)) == len(issuers)
        assert {name for name, facts in known.items() if not facts.removed} == wanted.keys()
        after = {(name, issuer): 1 for name, issuer, _ in people.values()}
        again = institution_steps(known, wanted, after)
        assert (again.new, again.changed, again.moves, again.takeovers, again.changes) == ((), (), (), (), ())

        for name, subject in logins:
            facts = wanted.get(name)
            if facts and facts.issuer and (facts.issuer, subject) not in {(i, s) for _, i, s in people.values()}:
                people[len(people)] = (name, facts.issuer, subject)


PLACES = st.tuples(st.sampled_from(["student", "assistant"]), st.sampled_from(["", "Mon"]))
PROMISES = st.tuples(NAMES, st.just("nr"), st.sampled_from("123"))


@settings(max_examples=100)
@given(st.lists(st.dictionaries(PROMISES, PLACES, max_size=5), min_size=1, max_size=5), st.data())
def test_a_row_is_one_promise_for_good(
    rosters: list[dict[tuple[str, str, str], tuple[str, str]]], data: st.DataObject
) -> None:
    rows: list[KnownRow] = []
    for wanted in rosters:
        steps = roster_steps("ml", rows, wanted)
        places = {row.id: place for row, place in steps.changed}
        after = []
        for row in rows:
            place = places.get(row.id, row.place)
            removed = place is None if row.id in places else row.removed
            kept = place or row.place
            member = kept if row.person_id is not None and not removed else None
            after.append(KnownRow(row.id, row.promise, kept, removed, row.person_id, member))
        for promise, place in steps.new:
            person = data.draw(st.none() | st.just(len(after)))
            after.append(KnownRow(len(after), promise, place, False, person, place if person is not None else None))
        assert len({row.promise for row in after}) == len(after), "a row that comes back is the same row"
        assert {row.promise: row.place for row in after if not row.removed} == wanted
        assert roster_steps("ml", after, wanted).changes == ()
        rows = after


def test_a_space_that_comes_back_tells_what_changed_meanwhile() -> None:
    old = SpaceFacts("ml", "course", "x", "x", {"term": "winter", "sizes": ["s"]}, "ml/course.yaml", archived=True)
    new = SpaceFacts("ml", "course", "x", "x", {"term": "summer", "sizes": ["s"]}, "ml/course.yaml")
    [change] = space_changes({"ml": old}, {"ml": new})
    assert change == Change(Action.SPACE_RESTORED, "course ml", {"term": ["winter", "summer"]}, space="ml")
    assert str(change) == "space-restored: course ml (term: winter → summer)"
    assert space_changes({"ml": old}, {}) == []
