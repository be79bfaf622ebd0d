"""The lab's verbs, roles and kinds in words. Message ids; `kirzl_lab.look` has them in German.

An entry of the audit is said as one sentence with links, from its action and its fields; what is not in the sentence
stands beside it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from kirzl_lab.catalog.models import Kind, Role
from kirzl_lab.courses.gradebook_table import State
from kirzl_lab.courses.progress import OwnStage, Stage
from kirzl_lab.grading import tasks
from kirzl_lab.grading.words import WHY
from kirzl_lab.look.i18n import Words
from kirzl_lab.service.pages import with_query
from kirzl_lab.store.audit import Action
from kirzl_lab.store.pages import AuditLine

ROLES = {
    Role.STUDENT: "Student",
    Role.ASSISTANT: "Assistant",
    Role.INSTRUCTOR: "Instructor",
    Role.MEMBER: "Member",
    Role.OWNER: "Owner",
    Role.OPERATOR: "Operator",
}

KINDS = {Kind.COURSE: "Course", Kind.SANDBOX: "Sandbox", Kind.RESEARCH: "Research"}

STATES = {
    State.MISSING: "missing",
    State.SUBMITTED: "handed in, not graded",
    State.NEEDS_MANUAL_GRADE: "to be graded by hand",
    State.GRADED: "graded",
}
"""How far a student's work on an assignment has come."""

STAGES = {
    Stage.GRADING: "being graded",
    Stage.FAILED: "grading failed",
    Stage.MISSING: "nothing handed in",
    Stage.SUBMITTED: "handed in, not graded",
    Stage.NEEDS_MANUAL_GRADE: "to be graded by hand",
    Stage.GRADED: "graded",
    Stage.RELEASED: "feedback released",
}
"""How far somebody's work on an assignment has come, for those who run the course."""

OWN_STAGES = {
    OwnStage.OPEN: "not handed in yet",
    OwnStage.MISSED: "missed",
    OwnStage.SUBMITTED: "handed in",
    OwnStage.LATE: "handed in late",
    OwnStage.FEEDBACK: "feedback is there",
}

RUN_STATES = {
    tasks.State.QUEUED: "waiting",
    tasks.State.PREPARED: "ready to run",
    tasks.State.EXECUTING: "running",
    tasks.State.EXECUTED: "being finished",
    tasks.State.DONE: "graded",
    tasks.State.FAILED: "failed",
    tasks.State.CANCELLED: "stopped",
}
"""How far the grading of a submission is."""

REASONS = {
    **{reason.value: phrase.message for reason, phrase in WHY.items()},
    "submission-refused": "What was handed in cannot be graded: its log says why.",
    "not-gradable": "nbgrader could not grade it: its log says why.",
    "result-refused": "What came back from running it is not what was handed in: its log says why.",
    "grade-replaced": "The gradebook has a grade for another submission of this person: grade it once more.",
    "grading-broke": "It stopped before it was done: try it again.",
}
"""Why a submission could not be graded, or feedback not made; slugs."""

VERBS = {
    Action.PERSON_CREATED: "First login",
    Action.PERSON_BLOCKED: "Person blocked",
    Action.PERSON_UNBLOCKED: "Block lifted",
    Action.LOGIN: "Login",
    Action.LOGIN_REFUSED: "Login refused",
    Action.LOGOUT: "Logout",
    Action.ROSTER_BOUND: "Roster row bound",
    Action.ROSTER_CONFLICT: "Roster conflict",
    Action.ROSTER_ADDED: "Roster row added",
    Action.ROSTER_CHANGED: "Roster row changed",
    Action.ROSTER_REMOVED: "Roster row removed",
    Action.ROSTER_RESTORED: "Roster row restored",
    Action.MEMBERSHIP_MENDED: "Membership mended",
    Action.SPACE_CREATED: "Space created",
    Action.SPACE_CHANGED: "Space changed",
    Action.SPACE_ARCHIVED: "Space archived",
    Action.SPACE_RESTORED: "Space restored",
    Action.SPACE_DELETED: "Space deleted",
    Action.SPACE_ERASED: "Space erased",
    Action.INSTITUTION_ADDED: "Institution added",
    Action.INSTITUTION_RESTORED: "Institution restored",
    Action.INSTITUTION_CHANGED: "Institution changed",
    Action.INSTITUTION_REMOVED: "Institution removed",
    Action.SERVER_STARTED: "Server started",
    Action.SERVER_STOPPED: "Server stopped",
    Action.START_REFUSED: "Start refused",
    Action.ASSIGNMENT_RELEASED: "Assignment released",
    Action.ASSIGNMENT_WITHDRAWN: "Assignment withdrawn",
    Action.FEEDBACK_RELEASED: "Feedback released",
    Action.FEEDBACK_WITHDRAWN: "Feedback withdrawn",
    Action.GRADING_STARTED: "Grading started",
}
"""Each verb as the filter of the page Audit names it."""

SENTENCES = {
    Action.PERSON_CREATED: "%(person)s logged in for the first time, through %(institution)s.",
    Action.PERSON_BLOCKED: "%(person)s was blocked.",
    Action.PERSON_UNBLOCKED: "The block of %(person)s was lifted.",
    Action.LOGIN: "%(person)s logged in through %(institution)s.",
    Action.LOGIN_REFUSED: "A login through %(institution)s was refused.",
    Action.LOGOUT: "%(person)s logged out.",
    Action.ROSTER_BOUND: "A roster row of %(space)s was bound to %(person)s.",
    Action.ROSTER_CONFLICT: "A roster row of %(space)s fits %(person)s, but belongs to somebody else.",
    Action.ROSTER_ADDED: "A roster row of %(space)s was added.",
    Action.ROSTER_CHANGED: "A roster row of %(space)s was changed.",
    Action.ROSTER_REMOVED: "A roster row of %(space)s was removed.",
    Action.ROSTER_RESTORED: "A roster row of %(space)s was restored.",
    Action.MEMBERSHIP_MENDED: "The membership of %(person)s in %(space)s was made to agree with its roster row.",
    Action.SPACE_CREATED: "The space %(space)s was created.",
    Action.SPACE_CHANGED: "The space %(space)s was changed.",
    Action.SPACE_ARCHIVED: "The space %(space)s was archived.",
    Action.SPACE_RESTORED: "The space %(space)s was restored from the archive.",
    Action.SPACE_DELETED: "The space %(space)s was deleted; it can still be restored for a while.",
    Action.SPACE_ERASED: "The space %(space)s was erased with everything that was handed in there.",
    Action.INSTITUTION_ADDED: "The institution %(institution)s was added.",
    Action.INSTITUTION_RESTORED: "The institution %(institution)s was restored.",
    Action.INSTITUTION_CHANGED: "The institution %(institution)s was changed.",
    Action.INSTITUTION_REMOVED: "The institution %(institution)s was removed.",
    Action.SERVER_STARTED: "A server of %(person)s was started in %(space)s.",
    Action.SERVER_STOPPED: "A server of %(person)s in %(space)s was stopped.",
    Action.START_REFUSED: "%(person)s was refused a server in %(space)s.",
    Action.ASSIGNMENT_RELEASED: "An assignment of %(space)s was released.",
    Action.ASSIGNMENT_WITHDRAWN: "An assignment of %(space)s was withdrawn.",
    Action.FEEDBACK_RELEASED: "Feedback for %(person)s in %(space)s was released.",
    Action.FEEDBACK_WITHDRAWN: "Feedback for %(person)s in %(space)s was withdrawn.",
    Action.GRADING_STARTED: "Submissions in %(space)s were sent to be graded.",
}

OPERATORS_ROSTER = {
    Action.ROSTER_BOUND: "A row of the operators' list was bound to %(person)s.",
    Action.ROSTER_CONFLICT: "A row of the operators' list fits %(person)s, but belongs to somebody else.",
    Action.ROSTER_ADDED: "A row of the operators' list was added.",
    Action.ROSTER_CHANGED: "A row of the operators' list was changed.",
    Action.ROSTER_REMOVED: "A row of the operators' list was removed.",
    Action.ROSTER_RESTORED: "A row of the operators' list was restored.",
    Action.MEMBERSHIP_MENDED: "The operator role of %(person)s was made to agree with the operators' list.",
}
"""Roster rows without a space promise the role operator."""

DETAILS = {
    "server": "server",
    "size": "size",
    "purpose": "purpose",
    "role": "role",
    "section": "section",
    "claim": "claim",
    "value": "value",
    "problem": "problem",
    "reason": "reason",
    "roster_row": "roster row",
    "subject": "subject",
    "issuer": "issuer",
    "dropped": "left out",
    "identities_moved": "identities moved",
    "assignment": "assignment",
    "again": "replaced",
    "submission": "submission",
}
"""Fields of an entry; others are shown under their own name."""

ACTORS = {"catalogue": "Catalogue", "hub": "Hub", "lab": "Lab", "login": "Login"}
UNKNOWN = "somebody unknown"


@dataclass(frozen=True, slots=True)
class Said:
    """An entry of the audit, ready for the page."""

    actor: Markup
    sentence: Markup
    details: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Teller:
    """Says entries in one language. `names` are display names by hub name, `titles` of institutions by name."""

    words: Words
    prefix: str
    names: Mapping[str, str]
    titles: Mapping[str, str]

    def say(self, line: AuditLine) -> Said:
        """The entry in words. Nothing of it is trusted to be HTML."""
        return Said(
            actor=self._actor(line.actor),
            sentence=self._sentence(line),
            details=tuple(self._details(line)),
        )

    def _actor(self, actor: str) -> Markup:
        if actor in self.names:
            return self._person(actor)
        known = ACTORS.get(actor)
        return Markup.escape(self.words.gettext(known) if known else actor)

    def _sentence(self, line: AuditLine) -> Markup:
        try:
            action = Action(line.action)
        except ValueError:  # written by a newer lab
            return Markup.escape(line.note or line.action)
        space = line.space or line.detail.get("space")
        sentences = OPERATORS_ROSTER if space is None and action in OPERATORS_ROSTER else SENTENCES
        return Markup.escape(
            self.words.gettext(
                sentences[action],
                person=self._person(line.person),
                space=self._space(line.space, space),
                institution=self.titles.get(line.institution or "", line.institution or "?"),
            )
        )

    def _person(self, hub_name: str | None) -> Markup:
        if hub_name is None:
            return Markup.escape(self.words.gettext(UNKNOWN))
        name = self.names.get(hub_name, hub_name)
        return Markup('<a href="{}people/{}">{}</a>').format(self.prefix, hub_name, name)

    def _space(self, known: str | None, name: object) -> Markup:
        if known is None:
            return Markup.escape("?" if name is None else str(name))
        return Markup('<a class="k-mono" href="{}">{}</a>').format(
            with_query(f"{self.prefix}spaces", search=known), known
        )

    def _details(self, line: AuditLine) -> list[tuple[str, str]]:
        shown = {name: value for name, value in line.detail.items() if name != "space" and value not in (None, "")}
        return [(self.words.gettext(DETAILS.get(name, name)), _plain(value)) for name, value in shown.items()]


def _plain(value: Any) -> str:
    """A value of an entry's detail; a pair is what was before and what is now."""
    match value:
        case [before, after]:
            return f"{_plain(before)} → {_plain(after)}"
        case None | "":
            return "–"
        case str():
            return value
        case _:
            return json.dumps(value, ensure_ascii=False)
