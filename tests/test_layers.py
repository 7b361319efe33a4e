"""The direction of imports: a module uses only what stands below it."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import goodman_live

PACKAGE = Path(goodman_live.__file__).parent
LAYERS = (
    ("errors", "settings", "instruments", "quality", "lines", "line_lists", "picture"),
    ("metadata", "history"),
    ("blocks", "calibrations", "reasons", "io"),
    ("recipes", "arcs", "simulate"),
    (
        "config",
        "access",
        "catalog",
        "migrations",
        "mail",
        "people",
        "lamps",
        "watch",
        "planning",
        "plans",
        "shelves",
        "outlook",
        "replay",
        "versions",
        "work",
        "rework",
        "pool",
        "queue_state",
        "benchmark",
        "sandbox",
    ),
    (
        "engine",
        "findings",
        "intake",
        "recovery",
        "patience",
        "latency",
        "answers",
        "api",
        "client",
        "hub",
        "widgets",
        "dashboard",
    ),
    ("cli",),
)
LAYER_OF = {name: number for number, names in enumerate(LAYERS) for name in names}
HEAVY = ("panel", "bokeh", "sqlalchemy", "fastapi", "jupyterhub", "watchfiles", "voila", "argon2")
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def top_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_by(path: Path) -> set[str]:
    """Top-level modules of the package that a file imports, anywhere in it."""
    package = ("goodman_live", *path.relative_to(PACKAGE).parent.parts)
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            base += node.module.split(".") if node.module else []
            names = [[*base, alias.name] for alias in node.names]
        else:
            continue
        found |= {name[1] for name in names if name[0] == "goodman_live" and len(name) > 1}
    return found - {"__version__"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_import_points_up(path):
    mine = top_of(path)
    assert mine in LAYER_OF, f"{mine} must be given a layer in tests/test_layers.py"
    for other in imported_by(path):
        assert other in LAYER_OF, f"{path.name} imports {other}, which has no layer"
        assert LAYER_OF[other] <= LAYER_OF[mine], (
            f"{path.name} must not import {other}: it is above"
        )


def test_the_reader_of_imports_sees_relative_and_absolute_ones(tmp_path):
    assert "metadata" in imported_by(PACKAGE / "io.py")
    assert "recipes" in imported_by(PACKAGE / "work.py")
    blocks = [path for path in MODULES if top_of(path) == "blocks"]
    assert any("history" in imported_by(path) for path in blocks)


def test_importing_recipes_and_blocks_loads_no_database_and_no_page():
    blocks = sorted(path.stem for path in (PACKAGE / "blocks").glob("*.py"))
    modules = ["goodman_live.recipes", "goodman_live.simulate"]
    modules += [f"goodman_live.blocks.{name}" for name in blocks if name != "__init__"]
    code = (
        "import importlib, json, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_help_loads_no_numbers():
    code = (
        "import sys, goodman_live.cli\n"
        "print([n for n in ('numpy', 'astropy', 'sqlalchemy', 'param') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_client_loads_no_database_and_no_files():
    heavy = ("sqlalchemy", "alembic", "scipy", "astropy", "pandas", "argon2", "fastapi", "bokeh")
    code = (
        "import json, sys, goodman_live.client\n"
        f"print(json.dumps([name for name in {heavy!r} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
