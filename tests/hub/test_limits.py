"""What one person's notebooks take together is limited, and nobody else notices."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

pytest.importorskip("jupyterhub", reason="the hub needs the extra 'hub'")

from goodman_live.hub import limits

from .running import printed_on, wait_for

MIB = 1 << 20
# A server of that name, with two sessions: one of three processes, one of one.
TREE = """
import os, subprocess, sys, time
if sys.argv[-1] == "jupyterhub.singleuser":
    for name in ("greedy", "modest"):
        subprocess.Popen([sys.executable, sys.argv[0], name], start_new_session=True)
if sys.argv[-1] == "greedy":
    os.fork(), os.fork()
content = bytearray({"greedy": 60, "modest": 20}.get(sys.argv[-1], 1) << 20)
for place in range(0, len(content), 4096):
    content[place] = 1
print("ready", flush=True)
time.sleep(600)
"""
FORKS = """
import os, time
for _ in range(12):
    if os.fork() == 0:
        content = bytearray({mib} << 20)
        for place in range(0, len(content), 4096):
            content[place] = 1
        time.sleep(600)
        os._exit(0)
time.sleep(600)
"""
BOMB = """
import os, time
for _ in range(8):
    os.fork()
time.sleep(600)
"""


@pytest.fixture
def tree(tmp_path):
    """Processes as a notebook server has them: the server's session, a greedy and a modest one."""
    path = tmp_path / "tree.py"
    path.write_text(TREE)
    command = [sys.executable, str(path), "jupyterhub.singleuser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as server:
        for _ in range(6):
            server.stdout.readline()
        found = limits.tree_of(server.pid)
        yield found
        limits.end([each.pid for each in found])


def test_all_processes_are_found_the_nearest_first(tree):
    assert len(tree) == 6
    assert len({each.session for each in tree}) == 3
    assert tree[0].command.endswith("jupyterhub.singleuser")


def test_what_processes_share_is_counted_once(tree):
    taken = limits.memory_of(tree)
    assert 5 * 60 * MIB > sum(taken.values()) > (4 * 60 + 20) * MIB


def test_the_greediest_session_is_ended_and_no_more_than_needed(tree):
    assert limits.excess(tree, 1000 * MIB, 100) is None
    found = limits.excess(tree, 150 * MIB, 0)
    greedy = {each.pid for each in tree if each.command.endswith("greedy")}
    assert set(found.victims) == greedy
    assert "What took most was ended" in found.sentence(is_all_ended=False)
    limits.end(found.victims)
    wait_for(lambda: limits.excess(limits.tree_of(tree[0].pid), 150 * MIB, 4) is None, "room")


def test_too_many_processes_are_too_many_however_small(tree):
    found = limits.excess(tree, 0, 4)
    assert len(found.victims) == 4
    assert found.what == "6 processes, and may be 4"


def test_a_server_that_is_too_much_by_itself_has_no_victim(tree):
    found = limits.excess(tree[:1], MIB, 0)
    assert found.victims == ()
    assert "The notebook server was ended" in found.sentence(is_all_ended=True)


@pytest.mark.parametrize(
    ("code", "said"),
    [(FORKS.format(mib=150), "GiB of memory, and may have 1.5 GiB"), (BOMB, "and may be 150")],
    ids=["memory", "processes"],
)
def test_a_notebook_that_takes_too_much_is_ended_its_owner_told_and_no_other(hub, code, said):
    mallory, olga = hub.users["mallory"], hub.users["olga"]
    for user in (mallory, olga):
        user.start_notebooks()
    started = [user.notebooks_started() for user in (mallory, olga)]
    programs, begun = hub.children(), time.time()
    with olga.running("import time; time.sleep(1); print('still here')") as of_olga:
        with mallory.running(code, "greedy.ipynb"):
            told = wait_for(lambda: ended_of(mallory, begun), "a note")
        assert "".join(printed_on(of_olga)) == "still here\n"
    assert said in told[0]["text"]
    assert told[0]["notebooks"][0].endswith(".ipynb")
    assert [user.notebooks_started() for user in (mallory, olga)] == started
    assert hub.children() == programs
    assert ended_of(olga) == []
    assert mallory.run("print(1 + 1)") == "2\n"


def ended_of(user, since: float = 0.0) -> list[dict]:
    told = user.answered(f"user/{user.name}/goodman-live/ended")
    return [each for each in told if each["time"] > since]
