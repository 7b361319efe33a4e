"""What every page of the dashboards is to the shell around it.

The shell makes a page when it is first asked for and keeps it: going back to it is instant. A page
draws and asks; it knows the viewer and the archive from its `Visit` and nothing of its address but
the query.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from ..catalog import Event
    from .visit import Visit

Tell = Callable[[BaseException | str], None]


class Page:
    """A page; subclasses build their layout in ``__init__`` and return it from ``__panel__``.

    All methods are called on the kernel's loop, guarded: what they raise is told to the person.

    Parameters
    ----------
    visit
        Who looks, at which archive, and the ways to other pages.
    tell
        Shows a message to the person: an exception as what went wrong, a text as a notice.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    # What `?` lists, as [keys, what they do]; the page itself listens to them.
    keys: ClassVar[tuple[tuple[str, str], ...]] = ()

    def __init__(self, visit: Visit, tell: Tell) -> None:
        self.visit = visit
        self.tell = tell

    def __panel__(self) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must return its layout")

    def start(self) -> None:
        """The page is shown for the first time; `open` follows."""

    def open(self, query: Mapping[str, str]) -> None:
        """Show what the address asks for: at first, after a link or the back button.

        Also called when the person comes back from another page; while it was away, the page was
        told of no events, so it looks at the archive again.
        """

    def take(self, event: Event) -> None:
        """Something happened in the archive, while the page is the one shown."""

    def recolour(self, theme: str) -> None:
        """The person chose the light or the dark theme; what uses CSS variables follows by itself.

        Only canvases of Bokeh need to be told.
        """

    def prefer(self, preferences: Any) -> None:
        """Look as the person likes it: at first, and when they have changed their mind."""

    def stop(self) -> None:
        """The viewer has left."""
