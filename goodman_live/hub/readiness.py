"""Whether the programs of a hub do their work yet."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Collection

_PATIENCE_SECONDS = 10


def answers(address: str) -> bool:
    """Whether a server answers there, whatever it says."""
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(address, timeout=_PATIENCE_SECONDS):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return error.code < 500
    except OSError:
        return False


def leads_to(services: Collection[str], address: str, token: str) -> bool:
    """Whether the proxy, whose own API is at an address, knows the ways to services of the hub.

    It learns them from the hub some time after both answer; until then it sends everybody to the
    hub, which knows nothing of what they ask for.
    """
    asked = urllib.request.Request(address, headers={"Authorization": f"token {token}"})
    try:
        with urllib.request.urlopen(asked, timeout=_PATIENCE_SECONDS) as answer:
            routes = json.load(answer)
    except urllib.error.HTTPError as error:
        error.close()
        return False
    except (OSError, ValueError):
        return False
    return {route.get("service") for route in routes.values()}.issuperset(services)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None
