"""Who may use which route: one table. A route that is not in it refuses everybody.

`kirzl_lab.service.access.admit` does what it says, docs/reference/lab-service.md is made from it, and so are the tests.
"""

from enum import StrEnum


class Who(StrEnum):
    """Who may use a route."""

    ANYONE = "anyone"
    PERSON = "person"
    """Somebody whom the lab knows and has not blocked, with a login or a token that has the scope."""
    OPERATOR = "operator"
    """A person with the role operator; not with the token of a notebook server."""
    MONITORING = "monitoring"
    """Whoever has the lab's token for metrics: Prometheus, no person."""
    LECTURER = "lecturer"
    """A person who may create courses; not with the token of a notebook server."""
    MEMBER = "member"
    """A person with any role in the course of the address. The token of a notebook server speaks for its course alone."""
    STAFF = "staff"
    """An assistant or instructor of the course of the address; not with the token of a server that previews."""
    INSTRUCTOR = "instructor"
    """An instructor of the course of the address; not with the token of a notebook server."""
    TASK = "task"
    """A grader with a token of its task, which works once; no person."""
    OWN_WORK = "own work"
    """Whose submission it is that the address names, and the staff of its course."""


IN_A_COURSE = frozenset({Who.MEMBER, Who.STAFF, Who.INSTRUCTOR, Who.OWN_WORK})
NOT_FROM_A_SERVER = frozenset({Who.LECTURER, Who.INSTRUCTOR})
"""What runs in a notebook, a student's that an instructor opened for instance, may not do these things for its person."""
WHILE_ARCHIVED: frozenset[str] = frozenset(
    {
        "make_copy",
        "archive_course",
        "restore_course",
        "delete_course",
        "api_copy_course",
        "api_archive_course",
        "api_restore_course",
        "api_delete_course",
    }
)
"""Routes that change something about a course that is archived: all others only read it."""


ACCESS: dict[str, Who] = {
    "health": Who.ANYONE,
    "ready": Who.ANYONE,
    "openapi": Who.ANYONE,
    "metrics": Who.MONITORING,
    "oauth_callback": Who.ANYONE,
    "front": Who.PERSON,
    "reference": Who.PERSON,
    "api_spaces": Who.PERSON,
    "api_people": Who.OPERATOR,
    "api_person": Who.OPERATOR,
    "api_all_spaces": Who.OPERATOR,
    "api_audit": Who.OPERATOR,
    "people": Who.OPERATOR,
    "person": Who.OPERATOR,
    "confirm": Who.OPERATOR,
    "stop_server": Who.OPERATOR,
    "block": Who.OPERATOR,
    "unblock": Who.OPERATOR,
    "spaces": Who.OPERATOR,
    "audit": Who.OPERATOR,
    "api_courses": Who.PERSON,
    "api_assignments": Who.MEMBER,
    "api_release": Who.MEMBER,
    "api_put_release": Who.STAFF,
    "api_withdraw": Who.STAFF,
    "api_source": Who.STAFF,
    "api_put_source": Who.STAFF,
    "api_submit": Who.MEMBER,
    "api_submissions": Who.STAFF,
    "api_files": Who.OWN_WORK,
    "api_receipt": Who.OWN_WORK,
    "api_feedback": Who.OWN_WORK,
    "api_put_feedback": Who.STAFF,
    "api_withdraw_feedback": Who.STAFF,
    "api_receipts_key": Who.ANYONE,
    "api_grade": Who.STAFF,
    "api_runs": Who.STAFF,
    "api_run": Who.STAFF,
    "api_cancel_run": Who.STAFF,
    "api_retry_run": Who.STAFF,
    "api_graded": Who.STAFF,
    "api_graded_files": Who.STAFF,
    "api_prepared": Who.TASK,
    "api_result": Who.TASK,
    "api_gradebook": Who.STAFF,
    "api_gradebook_export": Who.STAFF,
    "api_statistics": Who.STAFF,
    "api_grades": Who.MEMBER,
    "gradebook": Who.STAFF,
    "statistics": Who.STAFF,
    "grades": Who.MEMBER,
    "api_ask_feedback": Who.STAFF,
    "api_feedback_progress": Who.STAFF,
    "assignment": Who.MEMBER,
    "assignment_person": Who.STAFF,
    "confirm_assignment": Who.STAFF,
    "withdraw_assignment": Who.STAFF,
    "release_assignment": Who.STAFF,
    "grade": Who.STAFF,
    "release_feedback": Who.STAFF,
    "run": Who.STAFF,
    "run_task": Who.STAFF,
    "cancel_run": Who.STAFF,
    "retry_run": Who.STAFF,
    "courses": Who.PERSON,
    "new_course": Who.LECTURER,
    "make_course": Who.LECTURER,
    "course": Who.MEMBER,
    "edit_course": Who.INSTRUCTOR,
    "save_course": Who.INSTRUCTOR,
    "copy_course": Who.INSTRUCTOR,
    "make_copy": Who.INSTRUCTOR,
    "confirm_course": Who.INSTRUCTOR,
    "archive_course": Who.INSTRUCTOR,
    "restore_course": Who.INSTRUCTOR,
    "delete_course": Who.INSTRUCTOR,
    "download_course": Who.INSTRUCTOR,
    "api_make_course": Who.LECTURER,
    "api_course": Who.MEMBER,
    "api_edit_course": Who.INSTRUCTOR,
    "api_copy_course": Who.INSTRUCTOR,
    "api_archive_course": Who.INSTRUCTOR,
    "api_restore_course": Who.INSTRUCTOR,
    "api_delete_course": Who.INSTRUCTOR,
    "api_download_course": Who.INSTRUCTOR,
    "roster": Who.STAFF,
    "roster_add": Who.INSTRUCTOR,
    "roster_row": Who.INSTRUCTOR,
    "roster_change": Who.INSTRUCTOR,
    "roster_remove": Who.INSTRUCTOR,
    "roster_file": Who.INSTRUCTOR,
    "roster_preview": Who.INSTRUCTOR,
    "roster_upload": Who.INSTRUCTOR,
    "api_roster": Who.STAFF,
    "api_roster_add": Who.INSTRUCTOR,
    "api_roster_change": Who.INSTRUCTOR,
    "api_roster_remove": Who.INSTRUCTOR,
    "api_roster_preview": Who.INSTRUCTOR,
    "api_roster_upload": Who.INSTRUCTOR,
}
