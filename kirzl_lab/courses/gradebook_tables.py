"""nbgrader's tables: made and brought up to date on a connection of ours.

nbgrader itself runs the program `alembic` for this, found on PATH, with an address in a file in which a `%` breaks it,
and two processes that do so at once disturb each other. Here its own tables and its own migration steps are used inside
one transaction; whoever calls keeps others away meanwhile.
"""

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from nbgrader.api import Base, Course
from nbgrader.dbutil import ALEMBIC_DIR
from sqlalchemy import Connection, insert, inspect, select, text

from kirzl_lab.problems import NewerDatabase

INDEXES = {
    # Everything that a page asks of a grade: nothing else of the table is read then.
    "kirzl_grade_scores": "grade (notebook_id, auto_score, manual_score, extra_credit, needs_manual_grade)",
    "kirzl_submitted_notebook_assignment": "submitted_notebook (assignment_id, late_submission_penalty)",
    "kirzl_submitted_assignment_student": "submitted_assignment (student_id)",
    "kirzl_comment_notebook": "comment (notebook_id)",
}
"""nbgrader looks for grades by notebook without an index: formgrader reads whole tables, and so would our pages."""


def bring_up_to_date(connection: Connection, course: str) -> None:
    """Make what the gradebook of `course` lacks: nbgrader's tables, its migration steps, our indexes, the course's row.

    Everything happens in the connection's transaction and in its default schema. Raises `NewerDatabase` when the
    gradebook has steps that the installed nbgrader does not know.
    """
    scripts = ScriptDirectory(ALEMBIC_DIR)
    if inspect(connection).has_table("grade"):
        _refuse_newer(connection, scripts)
        _upgrade(connection, scripts)
        Base.metadata.create_all(connection)
    else:
        Base.metadata.create_all(connection)
        MigrationContext.configure(connection).stamp(scripts, "head")
    for name, columns in INDEXES.items():
        if not inspect(connection).has_index(columns.partition(" ")[0], name):
            connection.execute(text(f"CREATE INDEX {name} ON {columns}"))
    courses = Course.__table__
    if connection.execute(select(courses.c.id).where(courses.c.id == course)).first() is None:
        connection.execute(insert(courses).values(id=course))


def is_up_to_date(connection: Connection) -> bool:
    """Whether the gradebook is there and has every step that the installed nbgrader expects."""
    if not inspect(connection).has_table("grade"):
        return False
    scripts = ScriptDirectory(ALEMBIC_DIR)
    return set(MigrationContext.configure(connection).get_current_heads()) == set(scripts.get_heads())


def _upgrade(connection: Connection, scripts: ScriptDirectory) -> None:
    def steps(revision: object, _context: MigrationContext) -> object:
        return scripts._upgrade_revs("head", revision)  # type: ignore[arg-type]  # as alembic's own `command.upgrade`

    # Without nbgrader's env.py, which makes a connection of its own from an address in a file.
    with EnvironmentContext(Config(), scripts, fn=steps, destination_rev="head") as environment:
        environment.configure(connection=connection, target_metadata=Base.metadata)
        environment.run_migrations()


def _refuse_newer(connection: Connection, scripts: ScriptDirectory) -> None:
    known = {script.revision for script in scripts.walk_revisions()}
    unknown = sorted(set(MigrationContext.configure(connection).get_current_heads()) - known)
    if unknown:
        raise NewerDatabase(step=", ".join(unknown))
