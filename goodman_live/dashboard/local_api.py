"""The archive's API for the pages of this machine; ends when the standard input does."""

from __future__ import annotations

import sys
from pathlib import Path

from ..api.serving import serve
from ..catalog import environment_url
from .input import end_with_input


def main(root: str, port: str) -> None:
    """Serve the API of the archive in `root` at a port of this machine."""
    end_with_input()
    serve(Path(root), environment_url(), port=int(port))


if __name__ == "__main__":
    main(*sys.argv[1:])
