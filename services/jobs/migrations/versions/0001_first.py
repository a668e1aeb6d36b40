"""The first tables."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE jobs.jobs (
    id text PRIMARY KEY,
    number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    dag text NOT NULL,
    kind text NOT NULL,
    conf jsonb NOT NULL,
    submitted_by text NOT NULL,
    model text NOT NULL,
    fingerprint text NOT NULL,
    state text NOT NULL,
    ask text NOT NULL,
    create_time timestamptz NOT NULL,
    start_time timestamptz,
    end_time timestamptz,
    cancel_time timestamptz,
    tasks jsonb NOT NULL,
    percent double precision NOT NULL,
    message text NOT NULL,
    metrics jsonb NOT NULL,
    result jsonb NOT NULL,
    error jsonb NOT NULL,
    revision bigint NOT NULL,
    epoch integer NOT NULL,
    known boolean NOT NULL,
    settled boolean NOT NULL
);
CREATE INDEX jobs_unsettled ON jobs.jobs (number) WHERE NOT settled;
CREATE TABLE jobs.events (
    job_id text NOT NULL REFERENCES jobs.jobs (id),
    revision bigint NOT NULL,
    time timestamptz NOT NULL,
    kind text NOT NULL,
    what jsonb NOT NULL,
    PRIMARY KEY (job_id, revision)
);
CREATE TABLE jobs.attempts (
    job_id text NOT NULL REFERENCES jobs.jobs (id),
    task text NOT NULL,
    attempt text NOT NULL,
    number bigint GENERATED ALWAYS AS IDENTITY,
    sequence bigint NOT NULL,
    report_time timestamptz NOT NULL,
    over boolean NOT NULL,
    PRIMARY KEY (job_id, task, attempt)
);
"""


def upgrade() -> None:
    """Makes the tables."""
    op.execute(TABLES)
