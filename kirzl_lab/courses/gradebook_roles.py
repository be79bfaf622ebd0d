"""Gradebooks in PostgreSQL: a schema and a role for each course, a login for each person of its staff.

They stand beside the lab's own tables, in one database, so that one backup holds both. What keeps them apart:

- a course's schema and everything in it belongs to an owner of its own, as whom only the lab makes and migrates it;
- the course's role may read and write rows there and define nothing: the lab itself works in these tables, and a trigger
  or a view of somebody else's would run with the lab's rights;
- nobody but the lab's own login has a right to the lab's tables;
- a person's login has the rights of one course's role and none of its own; the role's rights are what it works with
  (`SET role`);
- logins of people have a limit of connections and cannot make temporary tables, so they cannot fill the server.

Roles belong to the whole PostgreSQL server, schemas to one database: names carry a mark of the database. The lab makes
all of this in one transaction at a time (a lock), because PostgreSQL refuses concurrent changes of rights.
"""

import hashlib
import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from psycopg import sql
from sqlalchemy import URL, Connection, create_engine, text
from sqlalchemy.engine.interfaces import DBAPIConnection

from kirzl_lab.catalog.models import is_space_name
from kirzl_lab.courses.gradebook_tables import bring_up_to_date, is_up_to_date
from kirzl_lab.store.locks import Lock

MOST_CONNECTIONS = 10
"""Of one person to one course's gradebook: formgrader keeps one, a terminal with nbgrader one more."""
CONNECT_TIMEOUT_S, STATEMENT_TIMEOUT_S = 5, 20
PAGE_PATIENCE_S, LOCK_TIMEOUT_S = 2, 15
"""How long a page, and a step of grading, wait for somebody who holds a lock on the gradebook."""


def course_role(database: str, course: str) -> str:
    """The name of the role and of the schema of `course`: different for every database and course.

    At most 39 characters of `[a-z0-9_-]`. Raises ValueError for what is no name of a course.
    """
    if not is_space_name(course):
        raise ValueError(f"{course!r} is no name of a course")
    return f"kirzl_{_mark(database, 8)}_{course}"


def owner_role(database: str, course: str) -> str:
    """The name of the role that owns the schema of `course` and all that is in it; at most 45 characters."""
    return f"{course_role(database, course)}_owner"


def login_role(database: str, course: str, hub_name: str) -> str:
    """The name of a person's login to the gradebook of `course`; at most 57 characters.

    Begins with `login_prefix`, which no other course's logins do: no name of a space has an underscore. The person is
    in it as a hash: everybody with a login can read the names of all roles.
    """
    return f"{login_prefix(database, course)}{_mark(hub_name, 16)}"


def login_prefix(database: str, course: str) -> str:
    """How the names of all logins to the gradebook of `course` begin."""
    return f"{course_role(database, course)}__"


def _mark(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


class GradebookSchemas:
    """The gradebooks in the lab database on PostgreSQL."""

    def __init__(self, database: URL) -> None:
        """`database` is the lab's: its login must own the database and be allowed to make roles (CREATEROLE)."""
        self._url = database
        limits = {"connect_timeout": CONNECT_TIMEOUT_S, "options": f"-c statement_timeout={STATEMENT_TIMEOUT_S}s"}
        self._engine = create_engine(database, pool_pre_ping=True, hide_parameters=True, connect_args=limits)
        self._database = self._url.database or ""
        self._prepared: set[str] = set()

    def prepare(self, course: str) -> None:
        """Make role, schema and tables of `course`, or bring them up to date. Raises `NewerDatabase`."""
        role, owner = course_role(self._database, course), owner_role(self._database, course)
        with self._engine.begin() as connection:
            settled = _is_settled(connection, role, owner)
        if settled:
            self._prepared.add(course)
            return  # without waiting for whoever changes something
        with self._changing() as connection:
            raw = _Raw(connection)
            raw.run("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC", self._database)
            for each in (role, owner):
                if not raw.roles(each):
                    raw.run("CREATE ROLE {} NOLOGIN", each)
                raw.run("GRANT {} TO CURRENT_USER", each)
            raw.run("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}", role, owner)
            _take_over(connection, raw, role, owner)
            _act_as(connection, owner, role)
            bring_up_to_date(connection, course)
            raw.run("GRANT USAGE ON SCHEMA {} TO {}", role, role)
            raw.run("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {} TO {}", role, role)
            raw.run("GRANT USAGE ON ALL SEQUENCES IN SCHEMA {} TO {}", role, role)
        self._prepared.add(course)

    def lab_url(self, course: str) -> str:
        """The lab's own address, acting as the course's role in its schema."""
        role = course_role(self._database, course)
        options = f"-c role={role} -c search_path={role} -c lock_timeout={LOCK_TIMEOUT_S}s"
        return self._url.update_query_dict({"options": options}).render_as_string(hide_password=False)

    def staff_url(self, course: str, hub_name: str) -> str:
        """The address of a person's login, made if there is none, with a new password; sessions that are open stay.

        The password has digits and a-f only: nbgrader writes addresses into files in which a `%` means something.
        """
        if course not in self._prepared:
            self.prepare(course)
        role, login = course_role(self._database, course), login_role(self._database, course, hub_name)
        password = secrets.token_hex(24)
        with self._changing() as connection:
            raw = _Raw(connection)
            if not raw.roles(login):
                raw.run(
                    f"CREATE ROLE {{}} LOGIN NOINHERIT CONNECTION LIMIT {MOST_CONNECTIONS} IN ROLE {{}}", login, role
                )
                raw.run("ALTER ROLE {} IN DATABASE {} SET role = {}", login, self._database, role)
                raw.run("ALTER ROLE {} IN DATABASE {} SET search_path = {}", login, self._database, role)
            raw.password(login, password)
        return self._url.set(username=login, password=password).render_as_string(hide_password=False)

    def reconcile_logins(self, course: str, staff: Collection[str]) -> list[str]:
        """Drop every login to the gradebook of `course` that belongs to nobody of `staff`, and end its sessions."""
        wanted = {login_role(self._database, course, hub_name) for hub_name in staff}
        prefix = login_prefix(self._database, course)
        with self._engine.connect() as connection:
            gone = sorted(login for login in _Raw(connection).roles_from(prefix) if login not in wanted)
        for login in gone:  # all of them, before any is dropped
            self._bar(login)
        for login in gone:
            self._drop(login)
        return gone

    def remove(self, course: str) -> None:
        """Drop schema and role of the course, with everybody's login to it."""
        self._prepared.discard(course)
        self.reconcile_logins(course, ())
        role = course_role(self._database, course)
        with self._changing() as connection:
            raw = _Raw(connection)
            raw.run("DROP SCHEMA IF EXISTS {} CASCADE", role)
            for each in (role, owner_role(self._database, course)):
                if raw.roles(each):
                    raw.run("GRANT {} TO CURRENT_USER", each)
                    raw.run("DROP OWNED BY {}", each)
                    raw.run("DROP ROLE {}", each)

    def _bar(self, login: str) -> None:
        """No new session can begin, once this is committed."""
        with self._changing() as connection:
            raw = _Raw(connection)
            if not raw.roles(login):
                return
            raw.run("ALTER ROLE {} NOLOGIN", login)
            # To end another login's sessions one must be a member of it.
            raw.run("GRANT {} TO CURRENT_USER", login)

    def _drop(self, login: str) -> None:
        """Sessions that are open end, and the login goes."""
        with self._changing() as connection:
            raw = _Raw(connection)
            if raw.roles(login):
                connection.execute(
                    text("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = :login"),
                    {"login": login},
                )
                raw.run("DROP OWNED BY {}", login)  # what a session can make without a right: large objects, defaults
                raw.run("DROP ROLE {}", login)

    @contextmanager
    def reading(self, course: str) -> Iterator[Connection]:
        """A connection of the lab that acts as the course's role, sees one moment and changes nothing."""
        if course not in self._prepared:
            self.prepare(course)
        one_moment = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self._engine.connect().execution_options(**one_moment) as connection:
            role = course_role(self._database, course)
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{PAGE_PATIENCE_S}s'")
            _act_as(connection, role, role)
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextmanager
    def _changing(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            connection.exec_driver_sql(Lock.GRADEBOOK_ROLES)
            yield connection


class _Raw:
    """Statements about roles and schemas, whose names cannot be parameters: psycopg quotes them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        driver: DBAPIConnection | None = connection.connection.dbapi_connection
        self._driver = driver

    def run(self, statement: str, *names: str) -> None:
        """Run the statement with `names`, quoted, in place of its `{}`."""
        quoted = sql.SQL(statement).format(*(sql.Identifier(name) for name in names))
        self._connection.exec_driver_sql(quoted.as_string(self._driver))  # type: ignore[arg-type]  # it is psycopg's

    def password(self, login: str, password: str) -> None:
        """Give the login this password."""
        statement = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(login), sql.Literal(password))
        self._connection.exec_driver_sql(statement.as_string(self._driver))  # type: ignore[arg-type]  # as above

    def roles(self, name: str) -> bool:
        """Whether there is a role of that name."""
        query = text("SELECT 1 FROM pg_roles WHERE rolname = :name")
        return self._connection.execute(query, {"name": name}).first() is not None

    def roles_from(self, prefix: str) -> list[str]:
        """The roles whose names begin so."""
        query = text("SELECT rolname FROM pg_roles WHERE starts_with(rolname, :prefix)")
        return list(self._connection.execute(query, {"prefix": prefix}).scalars())


def _act_as(connection: Connection, role: str, schema: str) -> None:
    """Until the transaction ends the connection has the role's rights, and this schema alone to look into."""
    raw = _Raw(connection)
    raw.run("SET LOCAL ROLE {}", role)
    raw.run("SET LOCAL search_path = {}", schema)


def _is_settled(connection: Connection, role: str, owner: str) -> bool:
    """Whether the schema is there, belongs to its owner, lets the course in, and has the newest tables."""
    owned = text(
        "SELECT bool_and(relowner = nspowner) AND bool_and(pg_get_userbyid(nspowner) = :owner)"
        " AND bool_and(EXISTS (SELECT 1 FROM aclexplode(relacl) JOIN pg_roles ON pg_roles.oid = grantee"
        " WHERE rolname = :role AND privilege_type = 'UPDATE'))"
        " FROM pg_namespace JOIN pg_class ON relnamespace = pg_namespace.oid WHERE nspname = :role AND relkind = 'r'"
    )
    if not connection.execute(owned, {"role": role, "owner": owner}).scalar():
        return False
    _act_as(connection, role, role)
    return is_up_to_date(connection)


def _take_over(connection: Connection, raw: _Raw, role: str, owner: str) -> None:
    """Give schema, tables and types back to their owner: a backup that was restored belongs to who restored it."""
    raw.run("ALTER SCHEMA {} OWNER TO {}", role, owner)
    others = text(
        "SELECT 'TABLE', relname FROM pg_class WHERE relnamespace = to_regnamespace(:schema) AND relkind = 'r'"
        " AND relowner <> CAST(:owner AS regrole)"
        " UNION ALL SELECT 'TYPE', typname FROM pg_type WHERE typnamespace = to_regnamespace(:schema) AND typtype = 'e'"
        " AND typowner <> CAST(:owner AS regrole)"
    )
    for kind, name in connection.execute(others, {"schema": f'"{role}"', "owner": f'"{owner}"'}).all():
        raw.run(f"ALTER {kind} {{}}.{{}} OWNER TO {{}}", role, name, owner)
