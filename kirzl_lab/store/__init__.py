"""The lab's memory: tables, migrations, and `apply`, which brings the catalogue into it.

Guarantees: the same behaviour on SQLite and PostgreSQL; a write that returned is durable and whole; nothing is
migrated on import.
"""
