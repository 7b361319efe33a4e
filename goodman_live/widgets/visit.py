"""What a viewer's kernel knows: who looks, at which archive, and how pages are addressed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from ..access import Viewer

if TYPE_CHECKING:
    from ..catalog import FileRow

TOKEN_VARIABLE = "HTTP_X_GOODMAN_TOKEN"
THEME_VARIABLE = "HTTP_X_GOODMAN_THEME"
PAGE_VARIABLE = "HTTP_X_GOODMAN_PAGE"
QUERY_VARIABLE = "QUERY_STRING"
BASE_VARIABLE = "VOILA_BASE_URL"
HUB_VARIABLE = "GOODMAN_HUB_URL"
API_VARIABLE = "GOODMAN_LIVE_URL"
THEMES = ("light", "dark")
# Who looks at an archive on their own disk, which knows no people.
OWNER = Viewer(user_id=0, username="", is_superuser=True)
# Parts of the address that belong to the server, not to a page.
_NOT_OF_PAGES = ("theme",)


@dataclass
class Visit:
    """One viewer at the pages.

    Attributes
    ----------
    archive
        Asked and told everything, as the viewer: a `RemoteArchive`, in a notebook any archive.
    viewer
        Who looks, for `access.may(viewer, action, target)`: what buttons there are.
    preferences
        How they like the pages to look.
    theme
        ``light`` or ``dark``, as it is now.
    page, query
        The page shown now and what its address asks for.
    base_url
        Path under which the pages are, ends with a slash; empty in a notebook.
    hub_url
        Path under which the hub is, ends with a slash; empty without a hub.
    api_url
        Where programs reach the archive; only its path if that is on the server of the pages, whose
        name browsers know. Empty in a notebook.
    """

    archive: Any
    viewer: Viewer
    preferences: Any
    theme: str = "light"
    page: str = "live"
    query: dict[str, str] = field(default_factory=dict)
    base_url: str = ""
    hub_url: str = ""
    api_url: str = ""
    # Set by the shell: show a page; write the address of the page shown; change the theme; tell
    # the pages that other things are liked.
    _go: Callable[[str, dict[str, str]], None] | None = None
    _put: Callable[[dict[str, str]], None] | None = None
    _wear: Callable[[str], None] | None = None
    _like: Callable[[], None] | None = None

    @property
    def proposal(self) -> str:
        """SOAR id of the selected proposal, '' for all that the viewer may see."""
        return self.query.get("proposal", "")

    def address(self, page: str, **query: object) -> str:
        """Address of a page, relative to the server; values None and '' are left out."""
        text = urlencode(_given(query))
        return f"{self.base_url}{page}{'?' if text else ''}{text}"

    def download_url(self, row: FileRow) -> str:
        """Where the browser downloads a file."""
        return f"{self.base_url}download/{row.id}"

    def notebook_url(self, row: FileRow) -> str:
        """Where a notebook with a file loaded opens; '' without a hub."""
        if not self.hub_url:
            return ""
        return f"{self.hub_url}user-redirect/goodman-live/frame/{quote(str(row.id))}"

    def go(self, page: str, **query: object) -> None:
        """Show a page at once, in this kernel; the back button leads back."""
        if self._go is not None:
            self._go(page, _given(query))

    def put(self, **query: object) -> None:
        """Change the query of the page shown, without opening it; None or '' removes a value."""
        self.query = _given(self.query | query)
        if self._put is not None:
            self._put(self.query)

    def wear(self, theme: str) -> None:
        """Show the pages in the ``light`` or the ``dark`` theme from now on."""
        if self._wear is not None:
            self._wear(theme)

    def like(self, preferences: Any) -> None:
        """Show the pages from now on as somebody likes them."""
        self.preferences = preferences
        self.wear(preferences.theme)
        if self._like is not None:
            self._like()


def _given(query: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in query.items() if value not in (None, "")}


def query_of(text: str) -> dict[str, str]:
    """The query of an address, without what belongs to the server; of repeated names the last."""
    found = dict(parse_qsl(text.lstrip("?")))
    return {name: value for name, value in found.items() if name not in _NOT_OF_PAGES}


def visit_of(archive: Any, environment: Mapping[str, str] | None = None, **given: Any) -> Visit:
    """The visit of whoever opened the page: the archive says who, the environment the rest.

    Parameters
    ----------
    archive
        As the viewer sees it.
    environment
        Of the kernel, as the server of the pages fills it when the page is opened.
    given
        What is known otherwise, as fields of `Visit`.
    """
    environment = os.environ if environment is None else environment
    has_people = hasattr(archive, "viewer")
    preferences = archive.preferences() if has_people else _taste()
    asked = environment.get(THEME_VARIABLE, "")
    found = {
        "viewer": archive.viewer() if has_people else OWNER,
        "preferences": preferences,
        "theme": asked if asked in THEMES else preferences.theme,
        "page": environment.get(PAGE_VARIABLE, ""),
        "query": query_of(environment.get(QUERY_VARIABLE, "")),
        "base_url": environment.get(BASE_VARIABLE, ""),
        "hub_url": environment.get(HUB_VARIABLE, ""),
        "api_url": _public(environment.get(API_VARIABLE, ""), environment.get(HUB_VARIABLE, "")),
    }
    return Visit(archive=archive, **(found | given))


def _public(api_url: str, hub_url: str) -> str:
    """Where the API is for others than our kernels: of a hub at the same path, behind its proxy."""
    return urlsplit(api_url).path.rstrip("/") if hub_url else api_url


def _taste() -> Any:
    from ..people.words import Preferences

    return Preferences()
