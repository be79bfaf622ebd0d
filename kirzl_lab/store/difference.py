"""What lies between the lab's memory and the catalogue. Pure: reads and writes nothing.

Guarantees: nothing that somebody worked with is ever among what goes: spaces are archived, roster rows marked as
removed with their bindings kept. Taking every step and comparing again finds no difference.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kirzl_lab.store.audit import Action

Pair = tuple[Any, Any]
"""A value before and after."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that `apply` did, or would do. `str` gives one line in English."""

    action: Action
    what: str
    detail: dict[str, Any] = field(default_factory=dict)
    """For changes, field -> [before, after]."""
    institution: str | None = None
    space: str | None = None
    person_id: int | None = None

    def __str__(self) -> str:
        """One line in English: what happened to what, and what it was before."""
        changes = [f"{name}: {_shown(value)}" for name, value in self.detail.items() if _is_pair(value)]
        return f"{self.action.value}: {self.what}" + (f" ({', '.join(changes)})" if changes else "")


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2


def _shown(pair: list[Any]) -> str:
    before, after = ("nothing" if value in (None, "") else str(value) for value in pair)
    return f"{before} → {after}"


# -- institutions ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class InstitutionFacts:
    """An institution, as the lab remembers it or as the catalogue wants it."""

    name: str
    issuer: str | None
    demo: bool
    title_de: str
    title_en: str
    removed: bool = False


@dataclass(frozen=True, slots=True)
class InstitutionSteps:
    """What to write about institutions and the identities of their people."""

    new: tuple[InstitutionFacts, ...]
    changed: tuple[InstitutionFacts, ...]
    """As they are to be; the ones that go carry `removed`."""
    moves: tuple[tuple[str, str, str], ...]
    """(institution, issuer before, issuer after): identities that follow their demo institution to another port."""
    takeovers: tuple[tuple[str, str], ...]
    """(issuer, institution): identities of this issuer now belong to this institution, whoever had them."""
    changes: tuple[Change, ...]


def institution_steps(
    known: Mapping[str, InstitutionFacts],
    wanted: Mapping[str, InstitutionFacts],
    groups: Mapping[tuple[str, str], int],
) -> InstitutionSteps:
    """The steps from `known` to `wanted`; `groups` counts identities by (institution, issuer).

    A wanted demo institution without an issuer is one that does not run: it keeps the issuer it had. Of two that
    claim one issuer, the one that says so in the catalogue has it.
    """
    claimed = {facts.issuer: name for name, facts in wanted.items() if facts.issuer}
    after: dict[str, InstitutionFacts] = {}
    for name, before in known.items():
        kept = before.issuer if claimed.get(before.issuer or "") in (None, name) else None
        after[name] = _with(before, issuer=kept, removed=True)
    for name, facts in wanted.items():
        old = known.get(name)
        kept = after[name].issuer if old is not None and old.demo and facts.demo else None
        after[name] = _with(facts, issuer=facts.issuer or kept)
    moves = _moves(known, after, groups)
    moved = {(name, before) for name, before, _ in moves}
    takeovers = {
        (issuer, claimed[issuer])
        for name, issuer in groups
        if (name, issuer) not in moved and claimed.get(issuer, name) != name
    }
    return InstitutionSteps(
        new=tuple(facts for name, facts in after.items() if name not in known),
        changed=tuple(facts for name, facts in after.items() if name in known and facts != known[name]),
        moves=tuple(moves),
        takeovers=tuple(sorted(takeovers)),
        changes=tuple(_institution_changes(known, after, moves, takeovers, groups)),
    )


def _with(facts: InstitutionFacts, *, issuer: str | None, removed: bool = False) -> InstitutionFacts:
    return InstitutionFacts(facts.name, issuer, facts.demo, facts.title_de, facts.title_en, removed)


def _moves(
    known: Mapping[str, InstitutionFacts],
    after: Mapping[str, InstitutionFacts],
    groups: Mapping[tuple[str, str], int],
) -> list[tuple[str, str, str]]:
    moves = {
        (name, old.issuer): new.issuer
        for name, old in known.items()
        if (new := after[name]).issuer and old.issuer and new.issuer != old.issuer and old.demo and new.demo
        if (name, old.issuer) in groups
    }
    # Where the new issuer already has people who stay, nobody moves: two humans must not become one.
    while blocked := [
        group for group, target in moves.items() if any(there[1] == target and there not in moves for there in groups)
    ]:
        for group in blocked:
            del moves[group]
    return [(name, before, target) for (name, before), target in moves.items()]


def _institution_changes(
    known: Mapping[str, InstitutionFacts],
    after: Mapping[str, InstitutionFacts],
    moves: Iterable[tuple[str, str, str]],
    takeovers: Collection[tuple[str, str]],
    groups: Mapping[tuple[str, str], int],
) -> Iterable[Change]:
    moving = {name: groups[name, before] for name, before, _ in moves}
    for name, facts in after.items():
        old = known.get(name)
        taken = sum(count for (_, issuer), count in groups.items() if (issuer, name) in takeovers)
        if old is None:
            detail: dict[str, Any] = {"issuer": facts.issuer}
            action = Action.INSTITUTION_ADDED
        else:
            fields = ("issuer", "demo", "title_de", "title_en")
            pairs = {key: [getattr(old, key), getattr(facts, key)] for key in fields}
            detail = {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}
            if facts.removed != old.removed:
                action = Action.INSTITUTION_REMOVED if facts.removed else Action.INSTITUTION_RESTORED
            elif detail or taken:
                action = Action.INSTITUTION_CHANGED
            else:
                continue
        if count := moving.get(name, 0) + taken:
            detail["identities_moved"] = count
        yield Change(action, f"institution {name}", detail, institution=name)


# -- spaces ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpaceFacts:
    """A space that a file of the catalogue describes."""

    name: str
    kind: str
    title_de: str
    title_en: str
    spec: dict[str, Any]
    managed_by: str
    archived: bool = False


def space_changes(known: Mapping[str, SpaceFacts], wanted: Mapping[str, SpaceFacts]) -> list[Change]:
    """What happens to spaces that files describe: `known` and `wanted` hold no others."""
    changes = []
    for name, facts in wanted.items():
        old = known.get(name)
        if old is None:
            changes.append(Change(Action.SPACE_CREATED, f"{facts.kind} {name}", space=name))
            continue
        detail = {
            key: [old.spec.get(key), facts.spec.get(key)]
            for key in sorted(old.spec.keys() | facts.spec.keys())
            if old.spec.get(key) != facts.spec.get(key)
        }
        if old.archived:
            changes.append(Change(Action.SPACE_RESTORED, f"{facts.kind} {name}", detail, space=name))
        elif old != facts:
            changes.append(Change(Action.SPACE_CHANGED, f"{facts.kind} {name}", detail, space=name))
    gone = [facts for name, facts in known.items() if name not in wanted and not facts.archived]
    changes += [Change(Action.SPACE_ARCHIVED, f"{facts.kind} {facts.name}", space=facts.name) for facts in gone]
    return changes


# -- rosters -----------------------------------------------------------------------------------------------------

Promise = tuple[str, str, str]
"""(institution, claim, value): what somebody must show."""
Place = tuple[str, str]
"""(role, section): what they get."""


@dataclass(frozen=True, slots=True)
class KnownRow:
    """A roster row that the lab remembers, with the membership that it gives."""

    id: int
    promise: Promise
    place: Place
    removed: bool
    person_id: int | None
    """Whom it is bound to."""
    membership: Place | None


@dataclass(frozen=True, slots=True)
class RosterSteps:
    """What to write about one roster; `space` is None for the operators."""

    space: str | None
    new: tuple[tuple[Promise, Place], ...]
    changed: tuple[tuple[KnownRow, Place | None], ...]
    """Rows with the place they now promise, None for those that go."""
    changes: tuple[Change, ...]


def roster_steps(space: str | None, known: Sequence[KnownRow], wanted: Mapping[Promise, Place]) -> RosterSteps:
    """The steps from the rows in `known` to the promises in `wanted`."""
    promises = {row.promise for row in known}
    new = tuple((promise, place) for promise, place in wanted.items() if promise not in promises)
    changes = [_row_change(Action.ROSTER_ADDED, space, promise, place) for promise, place in new]
    changed = []
    for row in known:
        place = wanted.get(row.promise)
        action, detail = _row_step(row, place)
        if action is not None:
            changed.append((row, place))
            changes.append(
                _row_change(action, space, row.promise, place or row.place, person_id=row.person_id, changed=detail)
            )
    return RosterSteps(space, new, tuple(changed), tuple(changes))


def _row_step(row: KnownRow, place: Place | None) -> tuple[Action | None, dict[str, Any]]:
    if place is None:
        if not row.removed:
            return Action.ROSTER_REMOVED, {}
    else:
        pairs = zip(("role", "section"), row.place, place, strict=True)
        detail = {key: [before, after] for key, before, after in pairs if before != after}
        if row.removed:
            return Action.ROSTER_RESTORED, detail
        if detail:
            return Action.ROSTER_CHANGED, detail
    due = place if row.person_id is not None else None
    return (Action.MEMBERSHIP_MENDED if row.membership != due else None), {}


def _row_change(
    action: Action,
    space: str | None,
    promise: Promise,
    place: Place,
    *,
    person_id: int | None = None,
    changed: Mapping[str, Any] | None = None,
) -> Change:
    institution, claim, value = promise
    role, section = place
    detail = {"claim": claim, "value": value, "role": role, "section": section, **(changed or {})}
    what = f"{role} of {space}: {institution} {claim} {value}" if space else f"{role}: {institution} {claim} {value}"
    return Change(action, what, detail, institution=institution, space=space, person_id=person_id)
