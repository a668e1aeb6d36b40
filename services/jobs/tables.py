"""The tables of jobs, in the schema "jobs", as SQLAlchemy sees them. `migrations/` makes them."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

SCHEMA = "jobs"
METADATA = sa.MetaData(schema=SCHEMA)

# `number` counts jobs in the order in which they came; lists are cut into pages by it.
JOBS = sa.Table(
    "jobs",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, sa.Identity(always=True), nullable=False, unique=True),
    sa.Column("dag", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("conf", JSONB, nullable=False),
    sa.Column("submitted_by", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("ask", sa.Text, nullable=False),
    sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
    sa.Column("start_time", sa.DateTime(timezone=True)),
    sa.Column("end_time", sa.DateTime(timezone=True)),
    sa.Column("cancel_time", sa.DateTime(timezone=True)),
    sa.Column("tasks", JSONB, nullable=False),
    sa.Column("percent", sa.Float, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("metrics", JSONB, nullable=False),
    sa.Column("result", JSONB, nullable=False),
    sa.Column("error", JSONB, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("known", sa.Boolean, nullable=False),
    sa.Column("settled", sa.Boolean, nullable=False),
    sa.Index("jobs_unsettled", "number", postgresql_where=sa.text("NOT settled")),
)

# Only the last of a job's events are kept.
EVENTS = sa.Table(
    "events",
    METADATA,
    sa.Column("job_id", sa.Text, sa.ForeignKey(JOBS.c.id), primary_key=True),
    sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("time", sa.DateTime(timezone=True), nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("what", JSONB, nullable=False),
)

# Processes that did a task. The one with the highest `number` holds it, unless that is `over`.
ATTEMPTS = sa.Table(
    "attempts",
    METADATA,
    sa.Column("job_id", sa.Text, sa.ForeignKey(JOBS.c.id), primary_key=True),
    sa.Column("task", sa.Text, primary_key=True),
    sa.Column("attempt", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, sa.Identity(always=True), nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("report_time", sa.DateTime(timezone=True), nullable=False),
    sa.Column("over", sa.Boolean, nullable=False),
)
