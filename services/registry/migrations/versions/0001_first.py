"""The first tables."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE models (
    name text PRIMARY KEY,
    policy jsonb NOT NULL,
    champion integer NOT NULL,
    predecessor integer NOT NULL,
    traffic jsonb NOT NULL,
    create_time timestamptz DEFAULT now(),
    drift text NOT NULL DEFAULT ''
);
CREATE TABLE versions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    model text NOT NULL REFERENCES models (name),
    number integer,
    state text NOT NULL,
    digest text NOT NULL,
    engine_digest text NOT NULL,
    run_asked text NOT NULL,
    evidence jsonb NOT NULL,
    files jsonb NOT NULL,
    size_bytes bigint NOT NULL,
    architecture text NOT NULL,
    context_tokens_max integer NOT NULL,
    create_time timestamptz DEFAULT now(),
    created_by text NOT NULL,
    source text NOT NULL,
    import_id text NOT NULL,
    UNIQUE (model, number)
);
CREATE INDEX ix_versions_digest ON versions (digest);
CREATE UNIQUE INDEX versions_once ON versions (model, digest, run_asked) WHERE state <> 'deleted';
CREATE TABLE promotions (
    id text PRIMARY KEY,
    model text NOT NULL REFERENCES models (name),
    number integer NOT NULL,
    state text NOT NULL,
    requested_by text NOT NULL,
    reason text NOT NULL,
    previous integer NOT NULL,
    answered_by text NOT NULL,
    revision bigint NOT NULL,
    rollback boolean NOT NULL,
    create_time timestamptz DEFAULT now()
);
CREATE INDEX ix_promotions_model ON promotions (model);
CREATE TABLE imports (
    id text PRIMARY KEY,
    model text NOT NULL,
    state text NOT NULL,
    source_kind text NOT NULL,
    source text NOT NULL,
    evidence jsonb NOT NULL,
    expected_digest text NOT NULL,
    principal text NOT NULL,
    stage text NOT NULL,
    fraction double precision NOT NULL,
    message text NOT NULL,
    reason text NOT NULL,
    number integer NOT NULL,
    create_time timestamptz DEFAULT now()
);
CREATE INDEX ix_imports_state ON imports (state);
CREATE TABLE audit (
    id bigint PRIMARY KEY,
    time timestamptz DEFAULT now(),
    principal text NOT NULL,
    action text NOT NULL,
    model text NOT NULL,
    number integer NOT NULL,
    before jsonb NOT NULL,
    after jsonb NOT NULL,
    reason text NOT NULL,
    evidence jsonb NOT NULL,
    request_id text NOT NULL
);
CREATE INDEX audit_by_model ON audit (model, id);
CREATE TABLE requests (
    id text PRIMARY KEY,
    fingerprint text NOT NULL,
    answer bytea,
    time timestamptz DEFAULT now()
);
CREATE TABLE revision (one boolean PRIMARY KEY CHECK (one), value bigint NOT NULL);
INSERT INTO revision VALUES (true, 0);
"""

APPEND_ONLY = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit is append-only';
END $$;
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    """Makes the tables, and the trigger that keeps the audit as it is."""
    op.execute(TABLES)
    op.execute(APPEND_ONLY)
