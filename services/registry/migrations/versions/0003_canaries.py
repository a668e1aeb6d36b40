"""Promotions in steps: what a canary is and how far it has come, one at a time for a model."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

CHANGES = """
ALTER TABLE promotions ADD COLUMN canary jsonb;
CREATE UNIQUE INDEX promotions_canary_once ON promotions (model) WHERE state = 'canary';
"""


def upgrade() -> None:
    """Makes the column and the index."""
    op.execute(CHANGES)
