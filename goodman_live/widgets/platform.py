"""Make Panel work alike in Voila, JupyterLab and a plain process, and make its errors visible.

The only place that knows where a widget is running. It refuses to be called after Panel has been
imported under Voila: the address of the local assets is read by Panel at import.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import http.client
import inspect
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from ..errors import Away, GoodmanError

ASSETS_VARIABLE = "GOODMAN_ASSETS_URL"
WAIT_VARIABLE = "GOODMAN_VISIT_URL"
AWAY = "The archive is away just now: nothing can be saved until it is back."

_documents: list[Any] = []
_listeners: list[Callable[[BaseException], None]] = []


def in_voila() -> bool:
    """Whether this kernel was started by Voila."""
    return "VOILA_BASE_URL" in os.environ


def in_pages() -> bool:
    """Whether this kernel was started by our own server of pages, which has its own wire."""
    return in_voila() and ASSETS_VARIABLE in os.environ


def setup() -> ModuleType:
    """Choose comms and local assets, load Panel's extension, and return the ``panel`` module.

    Raises
    ------
    RuntimeError
        When local assets were asked for but Panel had been imported already.
    """
    assets = os.environ.get(ASSETS_VARIABLE) if in_voila() else None
    if assets:
        _use_local_assets(assets)
    import panel as pn

    if not in_pages():
        _leave_output_alone()
        _hear_where_cells_run()
        pn.extension(comms="ipywidgets" if in_voila() else "default", inline=not assets)
    pn.config.exception_handler = report
    if in_pages():
        _draw_by_wire()
    elif in_voila():
        _keep_one_document()
    return pn


def _leave_output_alone() -> None:
    """Let what is printed go where it belongs.

    While a message of the page is dealt with, Panel's comms take ``sys.stdout`` away. JupyterLab
    has this done in a thread beside the cells: what a cell prints meanwhile is lost, and of two
    messages at once the second gives back what the first had put there.
    """
    import pyviz_comms

    class Nothing(list):
        def __enter__(self) -> Nothing:
            return self

        def __exit__(self, *_: object) -> None:
            return None

    pyviz_comms.StandardOutput = Nothing


def _hear_where_cells_run() -> None:
    """Deal with what the page says in the thread of the cells, between them.

    JupyterLab has it done in a thread beside them. A cell that changes a widget meanwhile would
    tell the page so in pieces that get mixed with those of the other thread, and the page
    understands nothing from there on.
    """
    import pyviz_comms

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # nobody runs cells here
        return
    heard, where = pyviz_comms.Comm._handle_msg, threading.get_ident()

    def hear(comm: Any, message: Any) -> None:
        if threading.get_ident() == where:
            heard(comm, message)
        else:
            loop.call_soon_threadsafe(heard, comm, message)

    pyviz_comms.Comm._handle_msg = hear


def _draw_by_wire() -> None:
    """Have whatever a cell ends with drawn by our own wire."""
    from panel.viewable import MimeRenderMixin, Viewer

    from .wire import displayed

    MimeRenderMixin._repr_mimebundle_ = Viewer._repr_mimebundle_ = displayed


def adopt(document: Any) -> None:
    """Make a document the one of this kernel, and have Panel take it for connected.

    Panel throws away, or puts off for ever, what its JavaScript components have to tell a document
    that never had a Bokeh session.
    """
    from panel.io.state import state

    state._connected[document] = True
    state._thread_id_[document] = threading.get_ident()
    _documents[:] = [document]  # one kernel, one viewer, one document


def _use_local_assets(url: str) -> None:
    """Point Panel and Bokeh at our own server, so that no request goes anywhere else."""
    if "panel" in sys.modules and os.environ.get("PANEL_CDN_ROOT") != url + "panel/":
        raise RuntimeError(
            "setup() must run before panel is imported, panel is already loaded; "
            "call it in the first cell."
        )
    os.environ["PANEL_CDN_ROOT"] = url + "panel/"
    import bokeh.resources

    bokeh.resources._cdn_base_url = lambda: url.rstrip("/")


def _keep_one_document() -> None:
    """Repair ``pn.ipywidget`` of Panel 1.9.

    jupyter_bokeh makes a second Document unless the model has one. With two, events sent to the
    document (modal, scroll, component messages) never reach the page.
    """
    import panel as pn
    import panel.io.notebook
    import panel.viewable
    from bokeh.document import Document

    document_widget = _document_widget()

    def ipywidget(obj: Any, doc: Document | None = None, **params: Any) -> Any:
        doc = doc or Document()
        model = pn.panel(obj, **params).get_root(doc=doc)
        if model.document is None:
            doc.add_root(model)
        adopt(doc)
        return document_widget(model)

    pn.ipywidget = panel.io.notebook.ipywidget = panel.viewable.ipywidget = ipywidget


def _document_widget() -> type:
    """The ipywidget of a Bokeh document; it sends all changes of one turn of the loop as one patch.

    jupyter_bokeh sends each property by itself, and the page redraws after each: a new spectrum
    took the browser twenty redraws.
    """
    from bokeh.protocol import Protocol
    from jupyter_bokeh.widgets import BokehModel

    class DocumentWidget(BokehModel):
        def __init__(self, model: Any, **params: Any) -> None:
            self._changes: list[Any] = []
            super().__init__(model, **params)

        def _document_patched(self, event: Any) -> None:
            if event.setter is self:
                return
            self._changes.append(event)
            if len(self._changes) == 1:
                asyncio.get_running_loop().call_soon(guarded(self._send_changes))

        def _send_changes(self) -> None:
            changes, self._changes = self._changes, []
            patch = Protocol().create("PATCH-DOC", changes)
            for part in (patch.header_json, patch.metadata_json, patch.content_json):
                self.send({"msg": "patch", "payload": part})
            for buffer in patch.buffers:
                self.send({"msg": "patch", "payload": json.dumps(buffer.ref)})
                self.send({"msg": "patch"}, [buffer.to_bytes()])

    return DocumentWidget


def wait_for_viewer() -> None:
    """In a kernel kept ready, block until somebody opens a page; elsewhere return at once.

    The server of the pages then tells of them, as variables of the environment.
    """
    address = os.environ.pop(WAIT_VARIABLE, "")
    if not address:
        return
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname, parts.port)
    try:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        if answer.status != 200:
            raise GoodmanError("The server of the pages must tell who opened this one; reload it.")
        os.environ.update(json.loads(answer.read()))
    finally:
        connection.close()


def on_error(listener: Callable[[BaseException], None]) -> None:
    """Have ``listener`` told of every exception raised in a callback."""
    _listeners.append(listener)


def report(error: BaseException) -> None:
    """Tell the user (through the listeners) that a callback failed; with no listener, raise it."""
    if not _listeners:
        raise error
    with _current_document():
        for listener in list(_listeners):
            listener(error)


@contextlib.contextmanager
def _current_document() -> Iterator[None]:
    """Under Voila, tell Panel which document is changed; else it takes us for a foreign thread."""
    if not _documents:
        yield
        return
    from panel.io.state import set_curdoc

    with set_curdoc(_documents[0]):
        yield


def guarded(callback: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a callback, plain or async, of the kernel's loop: it may change widgets and may fail.

    Its exception is reported. Panel reports those of its own callbacks; Bokeh's callbacks,
    loop callbacks and coroutines are swallowed by the comm layer and need this.
    """
    if inspect.iscoroutinefunction(callback):

        @functools.wraps(callback)
        async def wrapped_async(*args: Any, **kwargs: Any) -> Any:
            try:
                with _current_document():
                    return await callback(*args, **kwargs)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                report(error)

        return wrapped_async

    @functools.wraps(callback)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            with _current_document():
                return callback(*args, **kwargs)
        except Exception as error:
            report(error)

    return wrapped


def message_of(error: BaseException) -> str:
    """One line a person can read: the text of the error, with its type where that tells more."""
    if isinstance(error, Away):  # its address and the number of the error help nobody here
        return AWAY
    text = str(error).strip().splitlines()
    first = text[0] if text else "no message"
    return first if isinstance(error, GoodmanError) else f"{type(error).__name__}: {first}"
