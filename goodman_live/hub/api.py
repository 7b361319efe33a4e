"""The archive's API as a service of the hub: `python -m goodman_live.hub.api`.

Keys of our own, tokens of JupyterHub and people who signed in with a browser are one and the same
to it: a user of the archive, whose rights are looked up at every request.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from ..api import make_app
from ..api.serving import server_of
from ..catalog import Archive
from ..people import People
from .browser import COOKIE, add_sign_in
from .tokens import HubTokens


def main() -> None:
    """Serve the archive that the environment names, until told to stop."""
    environment = os.environ
    prefix = environment["JUPYTERHUB_SERVICE_PREFIX"]
    listen = urlsplit(environment["JUPYTERHUB_SERVICE_URL"])
    scope = f"access:services!service={environment['JUPYTERHUB_SERVICE_NAME']}"
    database = environment.get("GOODMAN_LIVE_DATABASE")
    with (
        contextlib.closing(Archive(Path(environment["GOODMAN_LIVE_ARCHIVE"]), database)) as archive,
        contextlib.closing(People.of(archive)) as people,
        contextlib.closing(HubTokens(environment["JUPYTERHUB_API_URL"], scope)) as tokens,
    ):
        app = make_app(archive, people, prefix=f"{prefix}api")
        service = app.state.service
        app.state.service = replace(service, name_of=tokens.name_of, cookie=COOKIE)
        add_sign_in(app, prefix)
        server_of(app, listen.hostname, listen.port).run()


if __name__ == "__main__":
    main()
