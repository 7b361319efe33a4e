"""All that is known of a file, versions of products, runs, counts by facet, a text index."""

import json

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"

TEXTS = (
    "obstype",
    "technique",
    "observation",
    "configuration",
    "image_id",
    "wavmode",
    "ra",
    "dec",
    "normalisation",
    "checksum",
)
NUMBERS = ("gain", "read_noise", "saturation")
FROM_INFO = (*TEXTS[:8], *NUMBERS)
FACETS = (
    ("data_type", sa.Integer),
    ("kind", sa.String),
    ("is_current", sa.Boolean),
    *(
        (name, sa.String)
        for name in ("proposal", "obstype", "technique", "grating", "wavmode", "slit")
    ),
    *((name, sa.String) for name in ("filter", "filter2", "roi")),
)


def upgrade() -> None:
    """Add what is new and fill it in from what is known."""
    _make_runs()
    _make_facets()
    _widen_files()
    _fill_in()
    op.add_column("events", sa.Column("proposal", sa.String, nullable=False, server_default=""))
    _index()
    if op.get_bind().dialect.name == "postgresql":
        _search_postgresql()
    else:
        _search_sqlite()
    _protect_raw_frames()


def _make_runs() -> None:
    text = {"type_": sa.String, "nullable": False}
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("file_id", sa.Integer),
        *(sa.Column(n, **text) for n in ("task", "plan")),
        *(sa.Column(n, sa.JSON, nullable=False) for n in ("settings", "versions")),
        sa.Column("attempt", sa.Integer, nullable=False),
        *(sa.Column(n, **text) for n in ("state", "message", "started", "ended")),
        sa.Column("times", sa.JSON, nullable=False),
    )
    op.create_index("runs_file", "runs", ["file_id"])


def _make_facets() -> None:
    op.create_table(
        "facets",
        sa.Column("id", sa.Integer, primary_key=True),
        *(sa.Column(name, kind, nullable=False) for name, kind in FACETS),
        sa.UniqueConstraint(*(name for name, _ in FACETS), name="facets_once"),
    )
    op.create_table(
        "tallies",
        sa.Column("night", sa.String, primary_key=True),
        sa.Column("facet_id", sa.Integer, sa.ForeignKey("facets.id"), primary_key=True),
        sa.Column("n", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("tallies_facet", "tallies", ["facet_id", "night", "n"])


def _widen_files() -> None:
    columns = [sa.Column(n, sa.String, nullable=False, server_default="") for n in TEXTS]
    columns += [sa.Column(n, sa.Float, nullable=False, server_default="0") for n in NUMBERS]
    columns += [
        sa.Column("right_ascension", sa.Float),
        sa.Column("declination", sa.Float),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        sa.Column("is_current", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("size", sa.Integer, nullable=False, server_default="0"),
    ]
    for column in columns:
        op.add_column("files", column)
    # Written out, because SQLite takes a reference only together with its column.
    op.execute("ALTER TABLE files ADD COLUMN run_id INTEGER REFERENCES runs (id)")
    op.execute("ALTER TABLE files ADD COLUMN facet_id INTEGER REFERENCES facets (id)")


def _fill_in() -> None:
    """Raw frames from their information, products from their frame, masters from one of theirs."""
    connection = op.get_bind()
    files = sa.table("files", *(sa.column(n) for n in ("id", "info", "data_type", *FROM_INFO)))
    files.append_column(sa.column("original_id"))
    raws = connection.execute(sa.select(files.c.id, files.c.info).where(files.c.info != ""))
    for number, text in raws.all():
        info = json.loads(text)
        values = {name: info[name] for name in FROM_INFO if name in info}
        connection.execute(sa.update(files).where(files.c.id == number).values(values))
    names = ", ".join(FROM_INFO)
    op.execute(
        f"UPDATE files SET ({names}) = (SELECT {names} FROM files AS o "
        "WHERE o.id = files.original_id) WHERE original_id IS NOT NULL"
    )
    members = "FROM files AS o WHERE o.data_type = 0 AND o.message = 'part of ' || files.file_name"
    op.execute(
        f"UPDATE files SET ({names}) = (SELECT {names} {members} ORDER BY o.id LIMIT 1) "
        f"WHERE data_type = 1 AND EXISTS (SELECT 1 {members})"
    )


def _index() -> None:
    op.drop_index("files_newest", "files")
    op.drop_index("files_night", "files")
    op.create_index("files_newest", "files", ["exposure_start", "id"])
    op.create_index("files_parent", "files", ["parent_id"])
    op.create_index("files_night", "files", ["night", "facet_id"])
    searched = ["facet_id", "night", "exposure_start", "file_name", "object_name"]
    op.create_index("files_facet", "files", searched)


def _search_postgresql() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    op.execute(
        "CREATE INDEX files_text ON files USING gin "
        "(lower(file_name || '\n' || object_name) gin_trgm_ops)"
    )


def _search_sqlite() -> None:
    op.execute(
        "CREATE VIRTUAL TABLE names USING fts5(file_name, object_name, content='files', "
        "content_rowid='id', tokenize='trigram', columnsize=0)"
    )
    add = "INSERT INTO names(rowid, file_name, object_name) VALUES (new.id, new.file_name, "
    add += "new.object_name);"
    remove = "INSERT INTO names(names, rowid, file_name, object_name) VALUES ('delete', old.id, "
    remove += "old.file_name, old.object_name);"
    op.execute(f"CREATE TRIGGER names_added AFTER INSERT ON files BEGIN {add} END")
    op.execute(f"CREATE TRIGGER names_removed AFTER DELETE ON files BEGIN {remove} END")
    op.execute(
        "CREATE TRIGGER names_changed AFTER UPDATE OF file_name, object_name ON files "
        "WHEN old.file_name <> new.file_name OR old.object_name <> new.object_name "
        f"BEGIN {remove} {add} END"
    )
    op.execute("INSERT INTO names(names) VALUES ('rebuild')")


def _protect_raw_frames() -> None:
    """No program deletes the row of a readable raw frame, not even by mistake."""
    message = "a raw frame is never deleted"
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "CREATE TRIGGER raw_frames_stay BEFORE DELETE ON files "
            "WHEN old.data_type = 0 AND old.info <> '' "
            f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
        )
        return
    op.execute(
        "CREATE FUNCTION refuse_raw_frame() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{message}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER raw_frames_stay BEFORE DELETE ON files FOR EACH ROW "
        "WHEN (old.data_type = 0 AND old.info <> '') EXECUTE FUNCTION refuse_raw_frame()"
    )
