"""The same cases as for the doors in Python, through the client and a real server."""

from __future__ import annotations

import contextlib

import pytest
from access_world import CASES, PEOPLE, make_world
from conftest import running
from test_access import Door, outcome

from goodman_live.api import make_app
from goodman_live.client import RemoteArchive
from goodman_live.errors import Refused


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = make_world(tmp_path_factory.mktemp("world"))
    with running(make_app(world.archive, world.people)) as world.address:
        yield world
    world.people.close()
    world.archive.close()


class DoorOverHttp(Door):
    """What somebody can do with a key of theirs; without one, with none that holds."""

    def __init__(self, world, who):
        super().__init__(world, who)
        user_id = world.user_id(who)
        key = "0" * 40 if user_id is None else world.people.add_token(user_id)[1]
        self.files = self.people = self.remote = RemoteArchive(f"{world.address}/api", key)

    def reduce_(self, thing):
        make = self.remote.calibrations if thing == "master" else self.remote.reduce
        with contextlib.suppress(Refused):  # it may be asked for, but cannot be made of nothing
            self.remote.cancel(make(self.number(thing), {"ignore_bias": True}))

    def add_file(self):
        with pytest.raises(Refused, match="such as"):
            self.remote._do("POST", "files/", json={"full_path": "nonsense"})

    def read_logs(self):
        self.remote.logs("info")

    def send_mail(self):
        mail = {"to": "member", "subject": "Hello", "text": "Your night is over."}
        self.remote._do("POST", "email/", json=mail)

    def see_status(self):
        assert self.remote._ask("")["status"] == "ok"


@pytest.mark.parametrize("who", PEOPLE)
def test_everybody_may_do_over_http_what_the_cases_say_and_nothing_else(world, who):
    door = DoorOverHttp(world, who)
    wanted = {name: result for name, person, result in CASES if person == who}
    with door.remote:
        assert {name: outcome(door, name) for name in wanted} == wanted
