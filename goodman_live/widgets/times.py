"""Times as the pages write them: in UT, with the local ones where a person points at them."""

from __future__ import annotations

from datetime import UTC, datetime

# `localTimes(iso)`: the same moment at the telescope and where the browser is, one a line.
LOCAL_TIMES = """
const localTimes = (iso) => {
  if (!iso) return '';
  const moment = new Date(/(Z|[+-]\\d\\d:\\d\\d)$/.test(iso) ? iso : iso + 'Z');
  if (isNaN(moment)) return '';
  const at = (zone) => moment.toLocaleString('en-GB', {timeZone: zone, hourCycle: 'h23',
    weekday: 'short', day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit',
    second: '2-digit', timeZoneName: 'short'});
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return `${at('America/Santiago')} at the telescope\\n${at(here)} here`;
};
"""


def moment_of(iso: str) -> datetime | None:
    """The moment that an ISO time in UT names; None for an empty or unreadable one."""
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def clock(iso: str) -> str:
    """Time of day of an ISO time in UT, ``HH:MM:SS``; empty for an empty or unreadable one."""
    moment = moment_of(iso)
    return f"{moment:%H:%M:%S}" if moment else ""


def date(iso: str) -> str:
    """Calendar date of an ISO time in UT, ``YYYY-MM-DD``; empty for an empty or unreadable one."""
    moment = moment_of(iso)
    return f"{moment:%Y-%m-%d}" if moment else ""


def date_and_clock(iso: str) -> str:
    """Both, such as ``2018-02-04 04:12:33``."""
    return f"{date(iso)} {clock(iso)}".strip()


def took(seconds: float) -> str:
    """A duration as people say it: ``40 ms``, ``1.4 s``, ``12 s``, ``2 min 5 s``."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"
