"""The history of the index's schema (Alembic), and bringing a database up to date.

Alembic itself is loaded only when there is something to do: pages open an archive too.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from ..errors import GoodmanError

NEWEST = "0004"
BASELINE = "0001"
_VERSION = sa.table("alembic_version", sa.column("version_num"))


def is_current(connection: sa.Connection) -> bool:
    """Whether the schema is the one that this program knows.

    Raises
    ------
    GoodmanError
        If it is newer.
    """
    version = _version_of(connection)
    if version is not None and version > NEWEST:
        raise GoodmanError(
            f"The archive's index must have a schema up to {NEWEST}, which this program knows, "
            f"not {version}. Update goodman_live."
        )
    return version == NEWEST


def upgrade(connection: sa.Connection) -> None:
    """Bring the schema up to date, in the transaction of `connection`."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    if _version_of(connection) is None and sa.inspect(connection).has_table("files"):
        command.stamp(config, BASELINE)  # made before there were migrations
    command.upgrade(config, "head")


def _version_of(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(_VERSION.name):
        return None
    return connection.execute(sa.select(_VERSION.c.version_num)).scalar()
