"""Users, proposals and their members, tokens, links, settings, comments; assigned frames."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0003", "0002"


def upgrade() -> None:
    """Make the tables, all empty: nobody is known yet."""
    op.add_column("files", sa.Column("assigned", sa.String, nullable=False, server_default=""))
    _make_users()
    _make_proposals()
    _make_keys()
    _make_words()


def _texts(*names: str) -> list[sa.Column]:
    return [sa.Column(name, sa.String, nullable=False) for name in names]


def _number() -> sa.Column:
    return sa.Column("id", sa.Integer, primary_key=True)


def _belongs_to(name: str, target: str, **options) -> sa.Column:
    options = {"nullable": False} | options
    return sa.Column(name, sa.Integer, sa.ForeignKey(target, ondelete="CASCADE"), **options)


def _make_users() -> None:
    op.create_table(
        "users",
        _number(),
        sa.Column("username", sa.String, nullable=False, unique=True),
        *_texts("first_name", "last_name"),
        sa.Column("email", sa.String, nullable=False, unique=True),
        *_texts("partner"),
        *(
            sa.Column(name, sa.Boolean, nullable=False)
            for name in ("is_staff", "is_superuser", "is_active")
        ),
        *_texts("created", "last_login", "invited", "password_changed", "password"),
        sa.Column("preferences", sa.JSON, nullable=False),
    )


def _make_proposals() -> None:
    op.create_table(
        "proposals",
        _number(),
        sa.Column("soar_id", sa.String, nullable=False, unique=True),
        *_texts("semester", "title", "abstract", "created"),
        sa.Column("pi_id", sa.Integer, sa.ForeignKey("users.id")),
    )
    op.create_index("proposals_pi", "proposals", ["pi_id"])
    op.create_table(
        "memberships",
        _belongs_to("proposal_id", "proposals.id", primary_key=True),
        _belongs_to("user_id", "users.id", primary_key=True),
        *_texts("added", "added_by"),
    )
    op.create_index("memberships_user", "memberships", ["user_id"])


def _make_keys() -> None:
    op.create_table(
        "tokens",
        _number(),
        _belongs_to("user_id", "users.id"),
        *_texts("prefix", "label", "created", "last_used", "expires", "revoked"),
        sa.Column("digest", sa.String, nullable=False, unique=True),
    )
    op.create_index("tokens_user", "tokens", ["user_id"])
    op.create_table(
        "links",
        _number(),
        _belongs_to("user_id", "users.id"),
        sa.Column("digest", sa.String, nullable=False, unique=True),
        *_texts("created", "expires", "used"),
    )
    op.create_index("links_user", "links", ["user_id"])
    op.create_table(
        "attempts",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("last", sa.Float, nullable=False),
    )


def _make_words() -> None:
    op.create_table(
        "settings",
        _number(),
        _belongs_to("proposal_id", "proposals.id", nullable=True),
        sa.Column("content", sa.JSON, nullable=False),
        *_texts("author", "time"),
    )
    op.create_index("settings_proposal", "settings", ["proposal_id", "id"])
    op.create_table(
        "comments",
        _number(),
        _belongs_to("file_id", "files.id"),
        _belongs_to("author_id", "users.id"),
        *_texts("text", "created", "edited", "deleted"),
    )
    op.create_index("comments_file", "comments", ["file_id"])
