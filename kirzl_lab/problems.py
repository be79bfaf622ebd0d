"""Errors that people see: each with a slug, an HTTP status and one sentence that says what to do next.

A `Problem` is raised where a decision is made and turned into a page, a JSON body (RFC 9457) or a line in a
terminal at the edge. Its sentence is an English message id with named fields; `text` renders it in the language
of whoever reads it. No stack traces, no internals.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, ClassVar, Protocol, runtime_checkable

from babel.dates import format_date


def _unchanged(message: str) -> str:
    return message


@dataclass(frozen=True)
class Phrase:
    """A part of a sentence that is translated too: an English message id and its fields."""

    message: str
    fields: Mapping[str, object] = field(default_factory=dict)

    def text(self, gettext: Callable[[str], str] = _unchanged) -> str:
        """The phrase in the language that `gettext` speaks."""
        return gettext(self.message) % self.fields


@runtime_checkable
class InLanguages(Protocol):
    """What a site wrote in both languages, as the catalogue's `Text`."""

    def in_language(self, language: str) -> str:
        """The text in that language."""
        ...


class Problem(Exception):  # noqa: N818 - it is a word of the design, and reads as one where it is raised
    """Something that a person asked for and cannot have, said in words that tell them what to do."""

    slug: ClassVar[str] = "problem"
    status: ClassVar[int] = 500
    sentence: ClassVar[str] = "Something went wrong. Please try again."

    def __init__(self, **fields: Any) -> None:
        self.fields = fields
        super().__init__(self.text())

    def text(self, gettext: Callable[[str], str] = _unchanged, language: str = "en") -> str:
        """The sentence with its fields filled in, in `language`, which is the one that `gettext` speaks."""
        return gettext(self.sentence) % {name: _told(value, gettext, language) for name, value in self.fields.items()}


def _told(value: object, gettext: Callable[[str], str], language: str) -> object:
    if isinstance(value, Phrase):
        return value.text(gettext)
    if isinstance(value, InLanguages):
        return value.in_language(language)
    if isinstance(value, date):
        return format_date(value, "long", locale=language)
    return value


# -- opening a space ---------------------------------------------------------------------------------------------


class BadOptions(Problem):
    slug, status = "bad-options", 400
    sentence = "The options of a server are exactly space, purpose and size: %(found)s."


class BadServerName(Problem):
    slug, status = "bad-server-name", 400
    sentence = "Every server has a name here: start it from My spaces, or send a name of 1 to 30 characters of a-z, 0-9 and single hyphens that starts with a letter."


class RenameRefused(Problem):
    slug, status = "rename-refused", 400
    sentence = "Servers cannot be renamed: stop this one and start the space again."


class AlreadyRunning(Problem):
    slug, status = "already-running", 400
    sentence = "Your server “%(server)s” is running already: open it, or stop it first."


class StillStopping(Problem):
    slug, status = "still-stopping", 400
    sentence = "Your server “%(server)s” is being stopped: try again in a moment."


class NoSuchServer(Problem):
    slug, status = "no-such-server", 404
    sentence = "There is no server called “%(server)s”: look under My spaces for what you have."


class ServerExists(Problem):
    slug, status = "server-exists", 409
    sentence = "There is a server called “%(server)s” already: start it, or change its options."


class UnknownSpace(Problem):
    slug, status = "unknown-space", 404
    sentence = "There is no space called “%(space)s”: look under My spaces for what you can open."


class NotAMember(Problem):
    slug, status = "not-a-member", 403
    sentence = "You are not a member of “%(space)s”: ask the people who run it to add you."


class PurposeRefused(Problem):
    slug, status = "purpose-refused", 403
    sentence = "Only instructors and assistants can preview “%(space)s” as a student: open it to work instead."


class SpaceNotOpen(Problem):
    slug, status = "space-not-open", 403
    sentence = (
        "“%(space)s” is open from %(starts)s to %(ends)s: ask the people who run it if you need it at another time."
    )


class SizeNotAllowed(Problem):
    slug, status = "size-not-allowed", 403
    sentence = "“%(space)s” does not offer the size “%(size)s”: choose one of %(allowed)s."


class SizeUnavailable(Problem):
    slug, status = "size-unavailable", 409
    sentence = "The size “%(size)s” cannot be had here (%(reason)s): choose another size."


class SizeFull(Problem):
    """Has besides its sentence the fields `space`, `purpose` and `cpu_sizes`, so that a page can offer those at once."""

    slug, status = "size-full", 409
    sentence = "Every GPU of the size “%(size)s” is in use (%(units)s of %(units)s): %(instead)s."


class NameTaken(Problem):
    slug, status = "server-name-taken", 409
    sentence = "Your server for “%(space)s” is called “%(server)s”: start it under that name."


class NameBound(Problem):
    slug, status = "server-name-bound", 409
    sentence = "Your server “%(server)s” belongs to “%(space)s”: choose another name for this one."


# -- who you are -------------------------------------------------------------------------------------------------


class UnknownInstitution(Problem):
    slug, status = "unknown-institution", 404
    sentence = "There is no institution called “%(institution)s” here: choose yours on the login page."


class InstitutionUnreachable(Problem):
    slug, status = "institution-unreachable", 502
    sentence = (
        "%(institution)s does not answer at the moment: try again in a minute, or tell its IT help desk if it goes on."
    )


class LoginCancelled(Problem):
    slug, status = "login-cancelled", 403
    sentence = "The login at %(institution)s was not completed: choose your institution again to start over."


class LoginExpired(Problem):
    slug, status = "login-expired", 400
    sentence = (
        "This login was begun in another browser, was used before or took too long: choose your institution again."
    )


class TokenRefused(Problem):
    """`reason` is for the log and the audit; people see only the sentence and the slug of the reason."""

    slug, status = "token-refused", 403
    sentence = "What %(institution)s sent about you did not pass our checks (%(reason)s), so you are not logged in: try again, and tell us if it goes on."


class PersonBlocked(Problem):
    slug, status = "person-blocked", 403
    sentence = "This account is blocked: write to %(contact)s."


# -- the lab itself ----------------------------------------------------------------------------------------------


class OperatorsOnly(Problem):
    slug, status = "operators-only", 403
    sentence = "This page is for the people who operate the lab."


class NotFound(Problem):
    slug, status = "not-found", 404
    sentence = "There is nothing at this address: go back to My spaces."


class LabDatabaseAway(Problem):
    slug, status = "lab-database-away", 503
    sentence = "The lab's memory does not answer at the moment. Servers that run go on; try again in a minute."


class HubAway(Problem):
    slug, status = "hub-away", 503
    sentence = "The hub does not answer at the moment. Servers that run go on; try again in a minute."


# -- the lab service -----------------------------------------------------------------------------------------------


class NotLoggedIn(Problem):
    slug, status = "not-logged-in", 401
    sentence = "Nobody is logged in here: log in, or send a token of the hub that may use the lab service."


class LoginNotAccepted(Problem):
    slug, status = "login-not-accepted", 403
    sentence = "The hub did not confirm this login: go back to My spaces and open the page from there."


class ScopeMissing(Problem):
    slug, status = "scope-missing", 403
    sentence = "This token may not use the lab service: make one that has the scope %(scope)s."


class FormExpired(Problem):
    slug, status = "form-expired", 403
    sentence = "This form does not belong to your present login: open the page again and repeat what you did."


class BadInput(Problem):
    slug, status = "bad-input", 422
    sentence = "This request cannot be understood (%(found)s): correct it and send it again."


class MethodRefused(Problem):
    slug, status = "method-refused", 405
    sentence = "This address does not do that: look it up in the reference of the lab service."


class RequestRefused(Problem):
    slug, status = "request-refused", 400
    sentence = "This request was refused: correct it and send it again."


class UnknownPerson(Problem):
    slug, status = "unknown-person", 404
    sentence = "There is no person called “%(person)s”: look for them under People."


class ServerNotRunning(Problem):
    slug, status = "server-not-running", 409
    sentence = "“%(server)s” is not running: open the person's page again to see what is."


class OwnAccount(Problem):
    slug, status = "own-account", 409
    sentence = "You cannot block your own account: ask another operator."


class NewerDatabase(Problem):
    slug, status = "newer-database", 503
    sentence = "The lab database was last used by a newer version of the lab (step %(step)s is unknown here): start that version again, or restore the backup from before the upgrade."


class CatalogueRefused(Problem):
    slug, status = "catalogue-refused", 409
    sentence = "The catalogue cannot be applied, and nothing was changed: %(reason)s."


# -- courses -------------------------------------------------------------------------------------------------------


class UnknownCourse(Problem):
    slug, status = "unknown-course", 404
    sentence = "You have no course called “%(course)s”: look under My courses for those you have."


class StaffOnly(Problem):
    slug, status = "staff-only", 403
    sentence = "This is for the instructors and assistants of the course: ask one of them."


class InstructorsOnly(Problem):
    slug, status = "instructors-only", 403
    sentence = "This is for the instructors of the course: ask one of them."


class LecturersOnly(Problem):
    slug, status = "lecturers-only", 403
    sentence = "Your institution does not tell us that you teach, so you cannot create courses: write to %(contact)s."


class OwnLoginNeeded(Problem):
    slug, status = "own-login-needed", 403
    sentence = "This cannot be done with the token of a notebook server: use the page of the course, or a token that you made under API tokens."


class CourseArchived(Problem):
    slug, status = "course-archived", 409
    sentence = "“%(course)s” is archived and only to be read: restore it first."


# -- the exchange --------------------------------------------------------------------------------------------------


class UnknownAssignment(Problem):
    slug, status = "unknown-assignment", 404
    sentence = "This course has no assignment called “%(assignment)s”: look at its list of assignments."


class NotReleased(Problem):
    slug, status = "not-released", 409
    sentence = "“%(assignment)s” is not released at the moment: ask the people who run the course."


class AlreadyReleased(Problem):
    slug, status = "already-released", 409
    sentence = "“%(assignment)s” is released already, so nothing was changed: release it with force to replace what students fetch."


class NoSource(Problem):
    slug, status = "no-source", 404
    sentence = "The lab has no source of “%(assignment)s” yet: release it once more to keep it here."


class UnknownSubmission(Problem):
    slug, status = "unknown-submission", 404
    sentence = "There is no such submission of yours in this course: look at the list of what was handed in."


class NoFeedback(Problem):
    slug, status = "no-feedback", 404
    sentence = "There is no feedback on this submission yet: it can be fetched once the people who run the course have released it."


class KeyMissing(Problem):
    slug, status = "key-missing", 400
    sentence = "A submission carries the header Idempotency-Key, 16 to 64 characters of A-Z, a-z, 0-9, - and _: make a new one for each submission and send it with every try."


class KeyUsed(Problem):
    slug, status = "key-used", 409
    sentence = "Another submission came with this Idempotency-Key, and nothing was changed: make a new key for what is different."


class TooManySubmissions(Problem):
    slug, status = "too-many-submissions", 409
    sentence = (
        "You have handed in as often, or as much, as can be for this assignment, and nothing was changed: what you handed"
        " in last counts. Ask the people who run the course if that is not what you want."
    )


class ArchiveNotAccepted(Problem):
    slug, status = "archive-not-accepted", 422
    sentence = "These files were not accepted, and nothing was kept: %(reason)s."


class NotAnArchive(Problem):
    slug, status = "not-an-archive", 415
    sentence = "What is sent here has to be a tar.gz archive, with the header Content-Type: application/gzip."


class UploadTooLarge(Problem):
    slug, status = "upload-too-large", 413
    sentence = (
        "This is larger than %(limit)s MiB, and nothing was kept: leave out what was not asked for, such as data files."
    )


class UploadBroken(Problem):
    slug, status = "upload-broken", 400
    sentence = "The upload ended too early, and nothing was kept: send it again."


class UploadTooSlow(Problem):
    slug, status = "upload-too-slow", 408
    sentence = "The upload took too long, and nothing was kept: send it again."


class TooManyUploads(Problem):
    slug, status = "too-many-uploads", 429
    sentence = "You have %(limit)s uploads under way already: wait until one of them is done."


class UploadsFull(Problem):
    slug, status = "uploads-full", 503
    sentence = "Very many people are uploading at the moment: try again in half a minute."


class StorageFull(Problem):
    slug, status = "storage-full", 507
    sentence = (
        "The lab's storage is full, and nothing was kept: tell the people who operate the lab, and try again later."
    )


class StorageAway(Problem):
    slug, status = "storage-away", 503
    sentence = "The lab's storage does not answer at the moment: try again in a minute."


class FileLost(Problem):
    slug, status = "file-lost", 500
    sentence = "A file that belongs here is not in the lab's storage any more: tell the people who operate the lab."


# -- grading runs --------------------------------------------------------------------------------------------------


class GradeReplaced(Problem):
    slug, status = "grade-replaced", 409
    sentence = "The gradebook has a grade for another submission of this person than the one that feedback is for: grade it once more."


class NothingToGrade(Problem):
    slug, status = "nothing-to-grade", 409
    sentence = "Nobody has handed in “%(assignment)s” yet, or none of those that you chose."


class NothingToRelease(Problem):
    slug, status = "nothing-to-release", 409
    sentence = (
        "Nothing of “%(assignment)s” is ready for feedback yet, or nothing of those that you chose: grade it first."
    )


class UnknownRun(Problem):
    slug, status = "unknown-run", 404
    sentence = "There is no such grading run in this course: open the assignment again."


class RunOver(Problem):
    slug, status = "run-over", 409
    sentence = "This grading run has come to its end already."


class UnknownTask(Problem):
    slug, status = "unknown-task", 404
    sentence = "This grading task is over, or another attempt has taken its place: what comes now is not used."


class FileManaged(Problem):
    slug, status = "file-managed", 409
    sentence = "“%(course)s” is described by the file %(file)s: change it there."


class CourseNameRefused(Problem):
    slug, status = "course-name-refused", 422
    sentence = "A course cannot be called “%(name)s”: take at most 24 characters of a to z, 0 to 9 and single hyphens, with a letter first and no hyphen at the end."


class CourseNameTaken(Problem):
    slug, status = "course-name-taken", 409
    sentence = (
        "There is, or was, a space called “%(name)s” already: choose another name, for example with the year in it."
    )


class CourseRefused(Problem):
    slug, status = "course-refused", 422
    sentence = "The course cannot be like that (%(found)s): correct it and send it again."


class NotArchived(Problem):
    slug, status = "not-archived", 409
    sentence = "“%(course)s” is still in use: archive it first."


class CourseDeleted(Problem):
    slug, status = "course-deleted", 409
    sentence = "“%(course)s” was deleted and cannot be restored any more."


class RosterChanged(Problem):
    slug, status = "roster-changed", 409
    sentence = (
        "Somebody else has changed the roster since this preview: upload the file again to see what it would do now."
    )


class RosterRefused(Problem):
    slug, status = "roster-refused", 422
    sentence = (
        "Nothing was changed, because %(count)s lines of the file cannot be used, line %(line)s first: %(reason)s."
    )


class RowRefused(Problem):
    slug, status = "row-refused", 422
    sentence = "This cannot be a row of the roster (%(found)s): correct it and send it again."


class UnknownRosterRow(Problem):
    slug, status = "unknown-roster-row", 404
    sentence = "This row is not on the roster any more: open the roster again."


class LastInstructor(Problem):
    slug, status = "last-instructor", 409
    sentence = "Nobody would be left who instructs this course and has logged in, so nothing was changed: add another instructor first."


class TooLarge(Problem):
    slug, status = "too-large", 413
    sentence = "This is too large: at most %(limit)s can be sent here."


# -- grading -------------------------------------------------------------------------------------------------------
# Each has besides its sentence the field `log`: the end of what the step wrote, for the people who run the course.


class SubmissionRefused(Problem):
    slug, status = "submission-refused", 422
    sentence = "What was handed in cannot be graded (%(found)s): ask the student to hand it in again without that."


class NotGradable(Problem):
    slug, status = "not-gradable", 422
    sentence = (
        "nbgrader cannot grade this submission to “%(assignment)s”: its log says why. Correct that, and grade it again."
    )


class ResultRefused(Problem):
    slug, status = "result-refused", 422
    sentence = "What came back from running this submission to “%(assignment)s” was refused and not graded (%(found)s): look at what was handed in."


class GradingOvertaken(Problem):
    slug, status = "grading-overtaken", 409
    sentence = "This submission is being graded anew: look there for its result."


class GradebookAway(Problem):
    slug, status = "gradebook-away", 503
    sentence = "The gradebook of the course does not answer at the moment: grade again in a minute."


class GradingBroke(Problem):
    slug, status = "grading-broke", 500
    sentence = "Grading stopped before it was done, which loses nothing: grade this submission again."


class NotGraded(Problem):
    slug, status = "not-graded", 404
    sentence = "This submission has not been graded yet: start a grading run first."
