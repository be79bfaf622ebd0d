"""The history of the tables, in steps that Alembic takes in order."""
