"""What pages of tables and forms have in common: questions off the loop, one layout, one style.

A question to the archive may take a while (a mail is sent, a password is hashed), so it is asked
in a thread, and the page draws when the answer is there. Of two answers to the same question
only the newer is drawn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import panel as pn

from ..errors import Away, GoodmanError
from .forms import Form
from .page import Page
from .platform import AWAY
from .tasks import Newest, Tasks

BODY_CSS = """
:host { min-height: 0; min-width: 0; height: 100%; overflow: hidden; }
"""
SCROLL_CSS = """
:host { min-height: 0; min-width: 0; height: 100%; overflow-y: auto; background: var(--gl-page);
  padding: 14px 16px; }
"""
SIDE_CSS = """
:host { min-height: 0; height: 100%; overflow-y: auto; background: var(--gl-panel);
  border-right: 1px solid var(--gl-line); flex: none !important; }
"""
SIDE_RIGHT_CSS = """
:host { min-height: 0; height: 100%; overflow-y: auto; background: var(--gl-page); padding: 12px;
  border-left: 1px solid var(--gl-line); flex: none !important; }
"""
GAP_CSS = ":host { row-gap: 14px; }"


class OfficePage(Page):
    """A page that asks in threads; what is under way are its `tasks`."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.tasks = Tasks()
        self._asked: dict[str, int] = {}

    @property
    def archive(self) -> Any:
        """The archive as the viewer sees it."""
        return self.visit.archive

    def stop(self) -> None:
        self.tasks.cancel()

    def once_a(self, seconds: float, look: Callable[[], Coroutine]) -> Newest:
        """Something to do when the archive has changed: a while after, and never twice at once."""

        async def rested(_: object) -> None:
            await asyncio.sleep(seconds)
            await look()

        return Newest(self.tasks, rested)

    async def newest(self, what: str, question: Callable[[], Any]) -> Any:
        """The answer to a question; None if the same was asked again meanwhile."""
        number = self._asked[what] = self._asked.get(what, 0) + 1
        answer = await asyncio.to_thread(question)
        return answer if self._asked[what] == number else None

    def on_form(self, form: Form, send: Callable[[Mapping[str, Any]], Coroutine], **deeds: Any):
        """Have a form's deeds done: `send` with the values; `cancel`, `typed` if they are given.

        A refusal is said at the form; the button waits until all is over.
        """

        def take(deed: Mapping[str, Any]) -> None:
            if "send" in deed:
                self.tasks.begin(self._send, form, send, deed)
            elif "cancel" in deed:
                form.finished = deed["count"]
                deeds["cancel"]()
            elif "typed" in deed:
                self.tasks.begin(deeds["typed"], deed["typed"], deed["text"])

        form.on_deed(take)

    async def _send(self, form: Form, send: Callable, deed: Mapping[str, Any]) -> None:
        try:
            if not form.lacks(deed["send"]):
                await send(deed["send"])
        except GoodmanError as error:
            form.refuse(AWAY if isinstance(error, Away) else str(error))
        finally:
            form.finished = deed["count"]


def scrolling(*parts: Any) -> pn.Column:
    """Parts below each other, which scroll together."""
    return pn.Column(
        *parts, sizing_mode="stretch_both", margin=0, stylesheets=[SCROLL_CSS, GAP_CSS]
    )


def beside(*parts: Any) -> pn.Row:
    """Parts beside each other, each of which scrolls by itself."""
    return pn.Row(*parts, sizing_mode="stretch_both", margin=0, stylesheets=[BODY_CSS])
