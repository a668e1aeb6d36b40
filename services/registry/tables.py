"""The registry's tables, as SQLAlchemy sees them. `migrations/` makes them."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

METADATA = sa.MetaData()

MODELS = sa.Table(
    "models",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("policy", JSONB, nullable=False),
    sa.Column("champion", sa.Integer, nullable=False),
    sa.Column("predecessor", sa.Integer, nullable=False),
    sa.Column("traffic", JSONB, nullable=False),
    sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.func.now()),
    sa.Column("drift", sa.Text, nullable=False, server_default=""),
)

# `id` goes into MLflow as a tag, so that a version made there before a crash is found again.
# `run_asked` is the run that the import named, empty where the registry made one.
VERSIONS = sa.Table(
    "versions",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True, server_default=sa.func.gen_random_uuid()),
    sa.Column("model", sa.Text, sa.ForeignKey("models.name"), nullable=False),
    sa.Column("number", sa.Integer),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False, index=True),
    sa.Column("engine_digest", sa.Text, nullable=False),
    sa.Column("run_asked", sa.Text, nullable=False),
    sa.Column("evidence", JSONB, nullable=False),
    sa.Column("files", JSONB, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("architecture", sa.Text, nullable=False),
    sa.Column("context_tokens_max", sa.Integer, nullable=False),
    sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.func.now()),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("import_id", sa.Text, nullable=False),
    sa.UniqueConstraint("model", "number"),
    # The same files for the same run are one version, until it is deleted.
    sa.Index(
        "versions_once",
        "model",
        "digest",
        "run_asked",
        unique=True,
        postgresql_where=sa.text("state <> 'deleted'"),
    ),
)

# How a version did on datasets other than its evidence's.
EVALUATIONS = sa.Table(
    "evaluations",
    METADATA,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("evaluation_digest", sa.Text, primary_key=True),
    sa.Column("metrics", JSONB, nullable=False),
    sa.Column("time", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("recorded_by", sa.Text, nullable=False),
    sa.ForeignKeyConstraint(["model", "number"], ["versions.model", "versions.number"]),
)

PROMOTIONS = sa.Table(
    "promotions",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, sa.ForeignKey("models.name"), nullable=False, index=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("requested_by", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("previous", sa.Integer, nullable=False),
    sa.Column("answered_by", sa.Text, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("rollback", sa.Boolean, nullable=False),
    sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.func.now()),
    # What is asked for and how far it has come; null for a promotion all at once.
    sa.Column("canary", JSONB(none_as_null=True)),
    # Of two canaries of one model, neither could be told from the other's harm.
    sa.Index(
        "promotions_canary_once",
        "model",
        unique=True,
        postgresql_where=sa.text("state = 'canary'"),
    ),
)

IMPORTS = sa.Table(
    "imports",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("source_kind", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("evidence", JSONB, nullable=False),
    sa.Column("expected_digest", sa.Text, nullable=False),
    sa.Column("principal", sa.Text, nullable=False),
    sa.Column("stage", sa.Text, nullable=False),
    sa.Column("fraction", sa.Float, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.func.now()),
)

# Append-only: triggers refuse all else. `id` is also the revision of the state that the act made.
AUDIT = sa.Table(
    "audit",
    METADATA,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("time", sa.DateTime(timezone=True), server_default=sa.func.now()),
    sa.Column("principal", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("before", JSONB, nullable=False),
    sa.Column("after", JSONB, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("evidence", JSONB, nullable=False),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Index("audit_by_model", "model", "id"),
)

# Never pruned: people and jobs make changes, not chats, and a year of them is a few megabytes.
REQUESTS = sa.Table(
    "requests",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("answer", sa.LargeBinary),
    sa.Column("time", sa.DateTime(timezone=True), server_default=sa.func.now()),
)

# One row. Who changes anything takes its next value, and so waits for whoever is before.
REVISION = sa.Table(
    "revision",
    METADATA,
    sa.Column("one", sa.Boolean, sa.CheckConstraint("one"), primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)
