"""Of work that is wanted again and again only the last counts, and waits no longer than it must."""

import asyncio
import time

import pytest

pytest.importorskip("panel", reason="the widgets need the extra 'dashboards'")

from goodman_live.widgets.tasks import Newest, Tasks


def done_by(*wants):
    """What was done, and after how long, of wants: (moment, what, delay)."""
    done = []

    async def run():
        tasks, start = Tasks(), time.monotonic()

        async def work(what):
            done.append((what, time.monotonic() - start))
            await asyncio.sleep(0.1)

        newest = Newest(tasks, work)
        for moment, what, delay in wants:
            await asyncio.sleep(max(0.0, start + moment - time.monotonic()))
            newest.want(what, delay)
        await asyncio.wait_for(tasks.settled(), 120)

    asyncio.run(run())
    return done


def test_wants_within_a_delay_are_one_and_the_last_is_done():
    done = done_by((0.0, "a", 1.0), (0.0, "b", 1.0), (0.0, "c", 1.0))
    assert [what for what, _ in done] == ["c"]
    assert done[0][1] >= 1.0


def test_who_cannot_wait_cuts_the_delay_of_who_can():
    done = done_by((0.0, "later", 600.0), (0.05, "now", 0.0))
    assert [what for what, _ in done] == ["now"]


def test_who_can_wait_does_not_put_off_who_cannot():
    done = done_by((0.0, "soon", 1.0), (0.0, "later", 600.0))
    assert [what for what, _ in done] == ["later"]


def test_what_is_wanted_meanwhile_is_done_after_its_delay():
    done = done_by((0.0, "a", 0.0), (0.05, "b", 0.3))
    assert [what for what, _ in done] == ["a", "b"]
    assert done[1][1] >= 0.35
