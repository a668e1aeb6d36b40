"""Runs migrations on the connection that the store hands over, inside its transaction."""

from alembic import context

from services.jobs.data.tables import METADATA, SCHEMA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    # Jobs have migrations of their own in the same schema.
    version_table="data_alembic_version",
    version_table_schema=SCHEMA,
)
context.run_migrations()
