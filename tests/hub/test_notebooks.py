"""What is in somebody's home: tutorials that stay theirs, notebooks that can be run."""

from __future__ import annotations

import json

import nbformat

from goodman_live.hub.notebooks import (
    copy_tutorials,
    frame_notebook,
    free_name,
    proposal_notebook,
    tutorials_folder,
)


def given(folder, **contents):
    folder.mkdir(exist_ok=True)
    for name, text in contents.items():
        (folder / f"{name}.ipynb").write_text(text)
    return folder


def test_a_tutorial_that_was_edited_is_never_written_over(tmp_path):
    source = given(tmp_path / "source", one="first", two="first")
    home = tmp_path / "home"
    copy_tutorials(source, home)
    (home / "one.ipynb").write_text("mine")
    given(source, one="second", two="second")
    copy_tutorials(source, home)
    assert (home / "one.ipynb").read_text() == "mine"
    assert (home / "two.ipynb").read_text() == "second"


def test_a_tutorial_that_was_removed_stays_away_until_there_is_a_new_one(tmp_path):
    source = given(tmp_path / "source", one="first")
    home = tmp_path / "home"
    copy_tutorials(source, home)
    (home / "one.ipynb").unlink()
    copy_tutorials(source, home)
    assert not (home / "one.ipynb").exists()
    given(source, one="second")
    copy_tutorials(source, home)
    assert (home / "one.ipynb").read_text() == "second"


def test_a_file_of_theirs_of_that_name_is_left_alone(tmp_path):
    source = given(tmp_path / "source", one="first")
    home = given(tmp_path / "home", one="mine")
    copy_tutorials(source, home)
    assert (home / "one.ipynb").read_text() == "mine"


def test_broken_marks_cost_nobody_a_notebook(tmp_path):
    source = given(tmp_path / "source", one="first")
    home = given(tmp_path / "home", one="mine")
    (home / ".given.json").write_text("[broken")
    copy_tutorials(source, home)
    assert (home / "one.ipynb").read_text() == "mine"


def test_notebooks_that_we_make_are_notebooks():
    for made in (frame_notebook(7, "0007_a.fits"), proposal_notebook("SOAR2026A-012")):
        nbformat.validate(nbformat.reads(json.dumps(made), as_version=4))
        for cell in made["cells"]:
            if cell["cell_type"] == "code":
                compile(cell["source"], "cell", "exec")


def test_a_name_is_free_and_stays_in_its_folder(tmp_path):
    assert free_name(tmp_path, "../../etc/passwd") == "etc_passwd.ipynb"
    (tmp_path / "a.ipynb").touch()
    assert free_name(tmp_path, "a") == "a-2.ipynb"


def test_there_are_tutorials():
    assert list(tutorials_folder().glob("*.ipynb"))
