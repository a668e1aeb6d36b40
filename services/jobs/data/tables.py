"""The table of feedback, in the schema "jobs", as SQLAlchemy sees it. `migrations/` makes it."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

SCHEMA = "jobs"
METADATA = sa.MetaData(schema=SCHEMA)

# One word for each person and choice. `id` grows with each word, also one that replaces another:
# lists follow it, and what was said last comes first.
FEEDBACK = sa.Table(
    "feedback",
    METADATA,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("given_by", sa.Text, nullable=False),
    sa.Column("response_id", sa.Text, nullable=False),
    sa.Column("choice", sa.Integer, nullable=False),
    sa.Column("rating", sa.Text, nullable=False),
    sa.Column("correction", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("conversation", JSONB, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("dataset_digest", sa.Text, nullable=False),
    sa.Column("time", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.UniqueConstraint("given_by", "response_id", "choice", name="feedback_once"),
    sa.Index("feedback_by_model", "model", "id"),
    sa.Index("feedback_by_dataset", "dataset_digest", "id"),
    sa.Index("feedback_by_answer", "response_id", "id"),
)
