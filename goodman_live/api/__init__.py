"""The REST API: the archive and its people over HTTP, for programs and pages of others.

It knows no rule of its own on who may do what: every request goes through `ArchiveFor` and
`PeopleFor` of the person whose key it carries. It tells no path of the server, and what somebody
may not see is not there. Keys come in the header `Authorization`, those of a hub in a cookie too.
With a cookie things are only read, and by pages of the same site, so that no page of somebody
else can act for whoever visits it.
"""

from .app import DEFAULT_PREFIX, make_app
from .serving import serve

__all__ = ["DEFAULT_PREFIX", "make_app", "serve"]
