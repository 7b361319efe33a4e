"""A program in a sandbox sees its own folders and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import pytest

from goodman_live import sandbox

needs_sandbox = pytest.mark.skipif(bool(sandbox.problem()), reason=sandbox.problem() or "none")


def printed(code: str, **options) -> str:
    """What a program prints in a sandbox."""
    command = sandbox.wrapped([sys.executable, "-c", code], **options)
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@needs_sandbox
def test_this_package_and_its_python_work_in_it():
    assert printed("import goodman_live; print(goodman_live.__version__)")


@needs_sandbox
def test_folders_of_others_are_not_there(tmp_path):
    (tmp_path / "secret").write_text("secret")
    assert printed(f"import os; print(os.path.exists({str(tmp_path)!r}))") == "False"
    with tempfile.NamedTemporaryFile(dir="/tmp", prefix="goodman-secret-") as other:
        # The package itself may lie there, so it need not be empty.
        assert printed(f"import os; print(os.path.exists({other.name!r}))") == "False"
    assert printed("import os; print(os.path.exists('/etc/shadow'))") == "False"


@needs_sandbox
def test_what_is_shown_can_be_read_and_what_is_its_own_written(tmp_path):
    for name in ("shown", "own"):
        (tmp_path / name).mkdir()
    (tmp_path / "shown" / "file").write_text("content")
    code = (
        f"print(open({str(tmp_path / 'shown' / 'file')!r}).read())\n"
        f"open({str(tmp_path / 'own' / 'new')!r}, 'w').write('mine')\n"
        f"try: open({str(tmp_path / 'shown' / 'new')!r}, 'w')\n"
        "except OSError: print('refused')\n"
    )
    options = {"readable": [tmp_path / "shown"], "writable": [tmp_path / "own"]}
    assert printed(code, **options).split() == ["content", "refused"]
    assert (tmp_path / "own" / "new").read_text() == "mine"


@needs_sandbox
def test_a_python_by_a_link_shows_nothing_of_the_folder_of_the_link(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "secret").write_text("secret")
    link = tmp_path / "bin" / "python"
    link.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(link))
    code = f"import os; print(os.listdir({str(tmp_path)!r}), os.listdir({str(link.parent)!r}))"
    assert printed(code) == "['bin'] ['python']"


@needs_sandbox
def test_a_folder_can_be_hidden_within_one_that_is_shown(tmp_path):
    (tmp_path / "state" / "homes" / "7").mkdir(parents=True)
    (tmp_path / "state" / "key").write_text("key")
    state = str(tmp_path / "state")
    code = f"import os; print(os.listdir({state!r}), os.getcwd(), os.environ['HOME'])"
    options = {"readable": [tmp_path], "hidden": [tmp_path / "state"]}
    home = (tmp_path / "state" / "homes" / "7", "/home/pia")
    assert printed(code, **options, home=home) == "[] /home/pia /home/pia"


@needs_sandbox
def test_processes_of_others_are_not_there():
    found = printed("import os; print([n for n in os.listdir('/proc') if n.isdigit()])")
    assert str(os.getpid()) not in found
    assert found.count("'") <= 6


@needs_sandbox
def test_nobody_is_root_in_it_and_the_privileges_are_gone():
    assert printed("import os; print(os.getuid())") == "1000"
    status = printed("print(open('/proc/self/status').read())")
    assert "CapEff:\t0000000000000000" in status


def test_without_bubblewrap_it_says_what_to_install(monkeypatch):
    sandbox.problem.cache_clear()
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
    try:
        assert "apt-get install bubblewrap" in sandbox.problem()
    finally:
        sandbox.problem.cache_clear()


@needs_sandbox
def test_its_scratch_folders_are_no_way_around_a_limit_of_memory():
    code = (
        "import errno\n"
        "for path in ('/tmp/big', '/dev/shm/big', '/dev/big'):\n"
        "    try:\n"
        "        with open(path, 'wb') as stream:\n"
        "            for _ in range(8):\n"
        "                stream.write(b'x' * 2**20)\n"
        "    except OSError as error:\n"
        "        print(errno.errorcode[error.errno])\n"
    )
    assert printed(code, scratch=4 << 20).split() == ["ENOSPC", "ENOSPC", "EROFS"]
    assert printed(code).split() == ["EROFS"]
