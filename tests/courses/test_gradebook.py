"""Where gradebooks are: made once by whoever comes first, brought up to date, kept apart from each other."""

import multiprocessing
import re
import sqlite3
from multiprocessing.synchronize import Barrier
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbgrader.api import Base, Gradebook
from sqlalchemy import Connection, NullPool, create_engine, inspect, make_url, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from kirzl_lab.cli.cluster.database import DROP_GRADEBOOKS
from kirzl_lab.courses.gradebook import GradebookFiles, Gradebooks, gradebooks
from kirzl_lab.courses.gradebook_roles import GradebookSchemas, course_role, login_prefix, login_role, owner_role
from kirzl_lab.courses.gradebook_tables import INDEXES, is_up_to_date
from kirzl_lab.problems import NewerDatabase
from kirzl_lab.store.locks import Lock
from kirzl_lab.store.migrate import migrate
from tests.courses.books import COURSE

TABLES = set(Base.metadata.tables) | {"alembic_version"}
COURSE_NAMES = st.text("ab9-", max_size=30).map(lambda rest: re.sub("-+", "-", f"k{rest}")[:24].rstrip("-"))
STAFF = "instructor-3w8r"


def prepare_all(folder: Path, database: str, courses: list[str], together: Barrier) -> None:
    """What each of many processes does."""
    books = gradebooks(folder, make_url(database))
    together.wait(60)
    for course in courses:
        books.prepare(course)


def opened(url: str) -> Connection:
    return create_engine(url, poolclass=NullPool).connect()


def tables(url: str) -> set[str]:
    with opened(url) as connection:
        return set(inspect(connection).get_table_names())


def test_many_processes_make_it_at_once(any_gradebooks: Gradebooks, any_database: str, tmp_path: Path) -> None:
    courses = [COURSE, "dl-201"]
    fork = multiprocessing.get_context("fork")  # importing nbgrader takes seconds
    together = fork.Barrier(6)
    processes = [
        fork.Process(target=prepare_all, args=(tmp_path, any_database, order, together))
        for order in (courses, courses[::-1]) * 3
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * len(processes)
    for course in courses:
        assert tables(any_gradebooks.lab_url(course)) == TABLES
        with any_gradebooks.reading(course) as connection:
            assert is_up_to_date(connection)
            assert connection.execute(text("SELECT id FROM course")).scalars().all() == [course]
            assert connection.execute(text("SELECT count(*) FROM alembic_version")).scalar() == 1


def test_nbgrader_opens_it_without_its_program_for_migrations(
    any_gradebooks: Gradebooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    any_gradebooks.prepare(COURSE)
    monkeypatch.setenv("PATH", "")
    for url in (any_gradebooks.lab_url(COURSE), any_gradebooks.staff_url(COURSE, STAFF)):
        with Gradebook(url, COURSE) as gradebook:
            gradebook.update_or_create_student(STAFF, first_name="Instructor")
            assert [student.id for student in gradebook.students] == [STAFF]


def test_what_is_there_stays_when_it_is_prepared_again(any_gradebooks: Gradebooks) -> None:
    any_gradebooks.prepare(COURSE)
    with Gradebook(any_gradebooks.lab_url(COURSE), COURSE) as gradebook:
        gradebook.add_assignment("ps1")
    any_gradebooks.prepare(COURSE)
    with Gradebook(any_gradebooks.lab_url(COURSE), COURSE) as gradebook:
        assert [one.name for one in gradebook.assignments] == ["ps1"]


OLD = [
    # nbgrader 0.6: task cells are there, courses and the address in a learning management system are not.
    "DROP TABLE course",
    "ALTER TABLE student DROP COLUMN lms_user_id",
    "UPDATE alembic_version SET version_num = '167914646830'",
]


def make_old(connection: Connection) -> None:
    """Turn a new, empty gradebook into one of nbgrader 0.6."""
    if connection.dialect.name == "postgresql":  # as who made it: nobody else may change tables
        connection.execute(text(f'SET ROLE "{owner_role(str(connection.engine.url.database), COURSE)}"'))
    for name in INDEXES:
        connection.execute(text(f"DROP INDEX {name}"))
    connection.execute(text("DROP TABLE submitted_assignment" + _cascade(connection)))
    connection.execute(text("DROP TABLE assignment" + _cascade(connection)))
    connection.execute(
        text(
            "CREATE TABLE assignment (id VARCHAR(32) PRIMARY KEY, name VARCHAR(128) UNIQUE NOT NULL, duedate TIMESTAMP)"
        )
    )
    for statement in OLD:
        connection.execute(text(statement + (_cascade(connection) if "DROP TABLE" in statement else "")))
    connection.commit()


def _cascade(connection: Connection) -> str:
    return " CASCADE" if connection.dialect.name == "postgresql" else ""


def test_an_older_gradebook_is_brought_up_to_date(any_gradebooks: Gradebooks) -> None:
    any_gradebooks.prepare(COURSE)
    with opened(any_gradebooks.lab_url(COURSE)) as connection:
        make_old(connection)
    with opened(any_gradebooks.lab_url(COURSE)) as connection:
        assert not is_up_to_date(connection)
    any_gradebooks.prepare(COURSE)
    assert tables(any_gradebooks.lab_url(COURSE)) == TABLES
    with any_gradebooks.reading(COURSE) as connection:
        assert is_up_to_date(connection)
        assert "lms_user_id" in {column["name"] for column in inspect(connection).get_columns("student")}
        assert "course_id" in {column["name"] for column in inspect(connection).get_columns("assignment")}
        assert set(INDEXES) <= {
            str(index["name"])
            for table in ("grade", "comment", "submitted_notebook", "submitted_assignment")
            for index in inspect(connection).get_indexes(table)
        }
    with Gradebook(any_gradebooks.lab_url(COURSE), COURSE) as gradebook:
        assert gradebook.add_assignment("ps1", course_id=COURSE).course_id == COURSE


def test_a_newer_gradebook_is_refused_and_left_alone(any_gradebooks: Gradebooks) -> None:
    any_gradebooks.prepare(COURSE)
    with opened(any_gradebooks.lab_url(COURSE)) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'from-the-future'"))
        connection.commit()
    with pytest.raises(NewerDatabase, match="from-the-future"):
        any_gradebooks.prepare(COURSE)


def test_a_file_reads_while_somebody_writes(tmp_path: Path) -> None:
    books = GradebookFiles(tmp_path)
    books.prepare(COURSE)
    with sqlite3.connect(books.file(COURSE)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO student (id) VALUES ('half')")
        with books.reading(COURSE) as connection:
            assert connection.execute(text("SELECT count(*) FROM student")).scalar() == 0


@pytest.mark.parametrize("name", ["", "../other", "ml--101", "ML", "a" * 25, "x\x00", "a;b", 'a"b'])
def test_what_is_no_name_of_a_course_names_nothing(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no name of a course"):
        GradebookFiles(tmp_path).file(name)
    with pytest.raises(ValueError, match="no name of a course"):
        course_role("lab", name)


@given(database=st.text(min_size=1, max_size=63), courses=st.tuples(COURSE_NAMES, COURSE_NAMES), people=st.tuples(st.text(max_size=30), st.text(max_size=30)))  # fmt: skip
def test_names_of_roles_fit_and_differ(database: str, courses: tuple[str, str], people: tuple[str, str]) -> None:
    names = {(course, person): login_role(database, course, person) for course in courses for person in people}
    assert len(set(names.values())) == len(names)
    for (course, _), name in names.items():
        assert len(name.encode()) <= 63, "PostgreSQL would cut it"
        assert name.isascii()
        assert not set(name) & set("%'\"\\ :@/?")
        assert name.startswith(login_prefix(database, course))
        assert not any(name.startswith(login_prefix(database, other)) for other in courses if other != course)


# -- PostgreSQL alone ----------------------------------------------------------------------------------------------


@pytest.fixture
def schemas(postgres_database: str) -> GradebookSchemas:
    """Gradebooks beside a lab's tables."""
    migrate(postgres_database)
    books = gradebooks(Path("/nowhere"), make_url(postgres_database))
    assert isinstance(books, GradebookSchemas)
    return books


@pytest.mark.postgres
def test_a_login_sees_its_course_and_nothing_else(schemas: GradebookSchemas, postgres_database: str) -> None:
    schemas.prepare("dl-201")
    other = course_role(make_url(postgres_database).database or "", "dl-201")
    with opened(schemas.staff_url(COURSE, STAFF)) as connection:
        assert connection.execute(text("SELECT count(*) FROM student")).scalar() == 0
        for forbidden in (
            f'SELECT * FROM "{other}".student',
            f"INSERT INTO \"{other}\".student (id) VALUES ('x')",
            f'SET ROLE "{other}"',
            "SELECT * FROM public.persons",
            "SELECT * FROM public.audit",
            "CREATE TABLE public.mine (id int)",
            "CREATE TEMPORARY TABLE mine (id int)",
            "CREATE SCHEMA mine",
            "CREATE ROLE mine",
            "SELECT pg_read_file('/etc/passwd')",
            "COPY student TO PROGRAM 'cat'",
            # The lab works in these tables with its own login: what others define would run with its rights.
            "CREATE TABLE mine (id int)",
            "CREATE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            "CREATE TRIGGER mine BEFORE UPDATE ON grade EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            "CREATE RULE mine AS ON INSERT TO grade DO INSTEAD NOTHING",
            "CREATE VIEW mine AS SELECT 1",
            "ALTER TABLE grade RENAME TO other",
            "ALTER TABLE grade ALTER COLUMN auto_score SET DEFAULT 7",
            "DROP TABLE comment",
            "TRUNCATE student",
            *(lock.replace("TABLE ", "TABLE public.") for lock in Lock),  # with these nobody could hand anything in
        ):
            with pytest.raises(ProgrammingError, match=r"denied|must be|permission"):
                connection.execute(text(forbidden))
            connection.rollback()


@pytest.mark.postgres
def test_who_loses_the_role_loses_login_and_sessions(schemas: GradebookSchemas) -> None:
    stays, goes = schemas.staff_url(COURSE, STAFF), schemas.staff_url(COURSE, "assistant-5t2v")
    elsewhere = schemas.staff_url("dl-201", "assistant-5t2v")
    sessions = [create_engine(url, poolclass=NullPool).connect() for url in (stays, goes, goes, elsewhere)]
    for session in sessions:
        session.execute(text("SELECT 1"))
    # What a session can make without any right, and what would keep its login from being dropped.
    sessions[1].execute(text("SET ROLE NONE"))
    sessions[1].execute(text("SELECT lo_create(0)"))
    sessions[1].execute(text("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC"))
    sessions[1].commit()
    assert schemas.reconcile_logins(COURSE, [STAFF, "somebody-new"]) == [make_url(goes).username]
    for session, lives in zip(sessions, (True, False, False, True), strict=True):
        if lives:
            assert session.execute(text("SELECT 1")).scalar() == 1
        else:
            with pytest.raises(OperationalError):
                session.execute(text("SELECT 1"))
        session.close()
    with pytest.raises(OperationalError):
        opened(goes)
    assert schemas.reconcile_logins(COURSE, [STAFF]) == []
    with opened(schemas.staff_url(COURSE, "assistant-5t2v")) as connection:  # who comes back has a login again
        assert connection.execute(text("SELECT count(*) FROM student")).scalar() == 0


@pytest.mark.postgres
def test_addresses_have_no_percent_sign_and_passwords_are_new(postgres_database: str) -> None:
    url = make_url(postgres_database)
    books = GradebookSchemas(url)
    first, second = (make_url(books.staff_url(COURSE, STAFF)) for _ in range(2))
    assert first.username == second.username
    assert first.password
    assert second.password
    assert first.password != second.password
    for one in (first, second):  # as in a cluster, where the server is reached over TCP
        assert "%" not in one.set(host="postgres", port=5432, query={}).render_as_string(hide_password=False)
    books.close()


@pytest.mark.postgres
def test_a_lab_login_that_may_make_roles_is_enough(postgres_database: str, postgres: object) -> None:
    """No superuser: the owner of the database, with CREATEROLE."""
    name = make_url(postgres_database).database
    owner = f"owner_{name}"
    postgres.run(f"CREATE ROLE {owner} LOGIN CREATEROLE")  # type: ignore[attr-defined]
    postgres.run(f"ALTER DATABASE {name} OWNER TO {owner}")  # type: ignore[attr-defined]
    with opened(postgres_database) as connection:  # as after a migration by that login
        connection.execute(text(f"ALTER TABLE alembic_version OWNER TO {owner}"))
        connection.commit()
    books = GradebookSchemas(make_url(postgres_database).set(username=owner))
    url = books.staff_url(COURSE, STAFF)
    with opened(url) as connection:
        connection.execute(text("INSERT INTO student (id) VALUES ('x')"))
        connection.commit()
        with books.reading(COURSE) as reading:
            assert reading.execute(text("SELECT id FROM student")).scalars().all() == ["x"]
        assert books.reconcile_logins(COURSE, []) == [make_url(url).username]
        with pytest.raises(OperationalError):
            connection.execute(text("SELECT 1"))
    books.prepare(COURSE)
    books.close()


@pytest.mark.postgres
def test_a_restored_backup_belongs_to_the_courses_again(schemas: GradebookSchemas, postgres_database: str) -> None:
    schemas.prepare(COURSE)
    role = course_role(make_url(postgres_database).database or "", COURSE)
    libpq = postgres_database.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(libpq, autocommit=True) as superuser:  # what a dump without owners leaves
        for gone in (owner_role(make_url(postgres_database).database or "", COURSE), role):
            superuser.execute(f'REASSIGN OWNED BY "{gone}" TO lab')
            superuser.execute(f'DROP OWNED BY "{gone}"')
            superuser.execute(f'DROP ROLE "{gone}"')
    restored = gradebooks(Path("/nowhere"), make_url(postgres_database))
    with opened(restored.staff_url(COURSE, STAFF)) as connection:
        connection.execute(text("INSERT INTO student (id) VALUES ('x')"))
        connection.execute(text("DELETE FROM student"))
        connection.commit()
    restored.close()


@pytest.mark.postgres
def test_a_restore_begins_without_gradebooks(schemas: GradebookSchemas, postgres_database: str) -> None:
    schemas.prepare(COURSE)
    schemas.prepare("dl-201")
    with psycopg.connect(postgres_database.replace("postgresql+psycopg", "postgresql"), autocommit=True) as superuser:
        superuser.execute(DROP_GRADEBOOKS)
        left = superuser.execute("SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_'").fetchall()
    assert sorted(name for (name,) in left) == ["information_schema", "public"]


def test_an_erased_course_leaves_no_gradebook(any_gradebooks: Gradebooks) -> None:
    for course in ("ml-101", "ml-101-old"):
        any_gradebooks.prepare(course)
        any_gradebooks.staff_url(course, "staff1")
    any_gradebooks.remove("ml-101")
    any_gradebooks.remove("ml-101")
    assert any_gradebooks.reconcile_logins("ml-101", ()) == []
    with any_gradebooks.reading("ml-101-old") as connection:
        assert connection.execute(text("SELECT count(*) FROM course")).scalar() == 1
    any_gradebooks.prepare("ml-101")
    with any_gradebooks.reading("ml-101") as connection:
        assert connection.execute(text("SELECT count(*) FROM student")).scalar() == 0
