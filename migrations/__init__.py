"""The steps of the database schema, for Alembic."""
