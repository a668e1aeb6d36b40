"""Evaluations that are recorded after a version was registered."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE evaluations (
    model text NOT NULL,
    number integer NOT NULL,
    evaluation_digest text NOT NULL,
    metrics jsonb NOT NULL,
    time timestamptz NOT NULL DEFAULT now(),
    recorded_by text NOT NULL,
    PRIMARY KEY (model, number, evaluation_digest),
    FOREIGN KEY (model, number) REFERENCES versions (model, number)
);
"""


def upgrade() -> None:
    """Makes the table."""
    op.execute(TABLE)
