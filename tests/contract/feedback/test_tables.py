"""The table: migrations make what the code expects, beside those of others."""

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from services.jobs.data.tables import METADATA, SCHEMA
from tests.fakes.postgres import TEMPLATE, Postgres


def test_migrations_make_the_table_of_the_code(postgres: Postgres):
    """No column, index or type differs."""
    engine = sa.create_engine(postgres.uri(TEMPLATE))
    options = {
        "compare_type": True,
        "include_schemas": True,
        "include_name": lambda name, kind, _: kind != "schema" or name == SCHEMA,
        "version_table": "data_alembic_version",
        "version_table_schema": SCHEMA,
    }
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        differences = compare_metadata(context, METADATA)
    engine.dispose()
    assert differences == []
