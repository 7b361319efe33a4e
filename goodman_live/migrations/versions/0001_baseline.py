"""Files and events, as the first archives had them."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None


def upgrade() -> None:
    """Make the tables."""
    text = {"type_": sa.String, "nullable": False}
    number = {"type_": sa.Float, "nullable": False}
    op.create_table(
        "files",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("file_name", **text),
        sa.Column("folder", **text),
        sa.Column("data_type", sa.Integer, nullable=False),
        *(sa.Column(n, **text) for n in ("kind", "object_name", "night", "proposal", "block")),
        *(sa.Column(n, **text) for n in ("camera", "grating")),
        *(sa.Column(n, **number) for n in ("camera_angle", "grating_angle")),
        *(sa.Column(n, **text) for n in ("slit", "filter", "filter2", "binning", "roi")),
        sa.Column("exposure_start", **text),
        sa.Column("exposure", **number),
        sa.Column("parent_id", sa.Integer, sa.ForeignKey("files.id")),
        sa.Column("original_id", sa.Integer, sa.ForeignKey("files.id")),
        *(sa.Column(n, **text) for n in ("state", "message", "created", "last_modified")),
        *(sa.Column(n, **text) for n in ("info", "plan")),
        sa.UniqueConstraint("folder", "file_name"),
    )
    op.create_index("files_newest", "files", ["data_type", "exposure_start", "id"])
    op.create_index("files_original", "files", ["original_id"])
    op.create_index("files_night", "files", ["night", "kind"])
    op.create_table(
        "events",
        sa.Column("id", sa.Integer, primary_key=True),
        *(sa.Column(n, **text) for n in ("time", "type")),
        sa.Column("file_id", sa.Integer),
        sa.Column("original_id", sa.Integer),
        sa.Column("text", **text),
        sqlite_autoincrement=True,
    )
