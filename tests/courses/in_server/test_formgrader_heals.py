"""Formgrader on a gradebook in PostgreSQL: a connection that was cut heals at the next request."""

from collections.abc import Iterator

import httpx
import psycopg
import pytest
from nbgrader.api import Gradebook
from sqlalchemy import make_url

from kirzl_lab.courses.gradebook_roles import GradebookSchemas
from tests.courses.in_server.conftest import COURSE, Desk
from tests.courses.in_server.test_front_ends import opened
from tests.service.sample import INSTRUCTOR, STUDENT

pytestmark = pytest.mark.postgres


@pytest.fixture
def schemas(postgres_database: str) -> Iterator[GradebookSchemas]:
    books = GradebookSchemas(make_url(postgres_database))
    yield books
    books.close()


def sessions(database: str, login: str) -> list[tuple[int, str]]:
    """Process and state of every session of that login."""
    with psycopg.connect(database, autocommit=True) as superuser:
        query = "SELECT pid, state FROM pg_stat_activity WHERE usename = %s"
        return [(pid, state) for pid, state in superuser.execute(query, [login])]


def scores(server: httpx.Client, notebook: str) -> list[float | None]:
    """What formgrader shows of a submitted notebook."""
    answer = server.get("/formgrader/api/grades", params={"submission_id": notebook}, follow_redirects=True)
    assert answer.status_code == 200, answer.text
    return [grade["auto_score"] for grade in answer.json()]


def graded(url: str, score: float) -> str:
    """Give the only submission that score, from elsewhere; the id of its notebook."""
    with Gradebook(url, COURSE) as gradebook:
        gradebook.update_or_create_assignment("ps1", course_id=COURSE)
        gradebook.update_or_create_notebook("p1", "ps1")
        gradebook.update_or_create_grade_cell("test", "p1", "ps1", max_score=5, cell_type="code")
        gradebook.update_or_create_student(STUDENT)
        (notebook,) = gradebook.update_or_create_submission("ps1", STUDENT).notebooks
        notebook.grades[0].auto_score = score
        gradebook.db.commit()
        found: str = notebook.id
        return found


def test_formgrader_heals(teacher: Desk, schemas: GradebookSchemas, postgres_database: str) -> None:
    url = schemas.staff_url(COURSE, INSTRUCTOR)
    login, libpq = make_url(url).username or "", postgres_database.replace("postgresql+psycopg", "postgresql")
    teacher.environment["KIRZL_LAB_GRADEBOOK"] = url
    notebook = graded(schemas.lab_url(COURSE), 1.0)
    with opened(teacher) as server:
        assert scores(server, notebook) == [1.0]
        kept = sessions(libpq, login)
        assert kept, "formgrader holds no connection"
        assert {state for _, state in kept} == {"idle"}, "a transaction stays open between requests"

        graded(schemas.lab_url(COURSE), 2.0)
        assert scores(server, notebook) == [2.0], "what others did meanwhile is not seen"

        with psycopg.connect(libpq, autocommit=True) as superuser:
            for pid, _ in sessions(libpq, login):
                superuser.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        assert scores(server, notebook) == [2.0]
        assert {pid for pid, _ in sessions(libpq, login)}.isdisjoint({pid for pid, _ in kept})
