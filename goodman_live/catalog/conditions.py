"""What must hold of a file that passes a filter, as databases are asked."""

from __future__ import annotations

import sqlalchemy as sa

from ..metadata import CALIBRATION_KINDS
from .database import can_be
from .entries import FACETS, RAW, Filter, Within
from .schema import FACET_TABLE


def facet_conditions(which: Filter) -> list[sa.ColumnElement]:
    """What must hold of a combination of facets."""
    table, found = FACET_TABLE.c, []
    for name in FACETS:
        value = getattr(which, name, None)
        if value is not None:
            values = value if isinstance(value, tuple) else (value,)
            found.append(table[name].in_([each for each in values if can_be(each)]))
    if which.calibrations is not None:
        among = table.kind.in_(CALIBRATION_KINDS)
        found.append(among if which.calibrations else ~among)
    if which.hide_raw_calibrations:
        found.append(~(table.kind.in_(CALIBRATION_KINDS) & (table.data_type == RAW)))
    if which.current_only:
        found.append(table.is_current.is_(True))
    if which.within is not None:
        found.append(within_condition(which.within, table))
    return found


def night_conditions(which: Filter, night: sa.Column) -> list[sa.ColumnElement]:
    """What must hold of a night."""
    wanted = (which.night, which.first_night, which.last_night)
    if not all(can_be(each) for each in wanted if each is not None):
        return [sa.false()]
    found = [night == which.night] if which.night is not None else []
    found += [night >= which.first_night] if which.first_night is not None else []
    return found + ([night <= which.last_night] if which.last_night is not None else [])


def within_condition(within: Within, table: sa.ColumnCollection) -> sa.ColumnElement:
    """What somebody may see, of a table that has the columns `proposal` and `kind`."""
    return sa.or_(table.proposal.in_(within.proposals), table.kind.in_(within.kinds))
