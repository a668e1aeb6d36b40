"""Runs migrations on the connection that the store hands over, inside its transaction."""

from alembic import context

from services.jobs.tables import METADATA, SCHEMA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table_schema=SCHEMA,
)
context.run_migrations()
