"""The real server of the pages over an API that runs elsewhere; who looks is said by a cookie.

Stands in for the hub, which knows by a login. Run as a process of its own:
``python pages_server.py URL KEYS``, with KEYS a JSON object of a key for each name.
"""

from __future__ import annotations

import json
import os
import sys

from goodman_live.dashboard.kernels import API_VARIABLE
from goodman_live.dashboard.server import DashboardServer, serve

COOKIE = "test_who"


def main(url: str, keys: dict[str, str]) -> None:
    class ServerOfMany(DashboardServer):
        api_url = url

        def owner_of(self, handler):
            return handler.get_cookie(COOKIE) or next(iter(keys))

        def token_of(self, handler):
            return keys[self.owner_of(handler)]

    os.environ[API_VARIABLE] = url
    serve(ServerOfMany, host="127.0.0.1", port=0, preheat=1)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
