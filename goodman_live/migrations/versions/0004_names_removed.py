"""Searches in memory in place of an index of trigrams; removed products; numbers of versions."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0004", "0003"


def upgrade() -> None:
    """Drop what searched for texts, and all that slowed writing for it."""
    op.add_column("files", sa.Column("removed", sa.String, nullable=False, server_default=""))
    op.create_table(
        "changes",
        sa.Column("n", sa.Integer, primary_key=True),
        sa.Column("file_id", sa.Integer),
    )
    op.create_table(
        "versions",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("last", sa.Integer, nullable=False),
    )
    _drop_search()
    op.drop_index("files_facet", "files")
    op.create_index("files_facet", "files", ["facet_id"])


def _drop_search() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP INDEX files_text")
        return
    for name in ("added", "removed", "changed"):
        op.execute(f"DROP TRIGGER names_{name}")
    op.execute("DROP TABLE names")
