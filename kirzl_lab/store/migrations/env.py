"""Run by Alembic for each command, on the connection and in the transaction that `kirzl_lab.store.migrate` made.

A new step after a change of the tables, from the root of the repository:
`python -c "from kirzl_lab.store.migrate import write_step; write_step('Say what changed')"`.
"""

from typing import Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext

from kirzl_lab.store import course_tables  # noqa: F401 - its tables are in Base.metadata now
from kirzl_lab.store.tables import Base, Line, UtcDateTime


def _plain_types(type_: str, item: object, _context: AutogenContext) -> str | Literal[False]:
    """Steps say what the databases see: our own types may change or go, the history stays."""
    if type_ == "type" and isinstance(item, Line):
        return f"sa.{item.impl_instance!r}"
    if type_ == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_item=_plain_types,
    compare_server_default=True,
    transactional_ddl=True,
    render_as_batch=False,
)
with context.begin_transaction():
    context.run_migrations()
