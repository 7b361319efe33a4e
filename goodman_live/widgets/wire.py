"""The wire between the page in a kernel and its copy in the browser.

The page is a Bokeh document. Its first state goes with the HTML, so that the browser draws before
it is connected at all; every change after that is a numbered message. A browser that was
disconnected says which number it saw last and is sent the rest: nothing is missed, nothing is
drawn again. The other end is `wire.js`, beside the template of the pages.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass
from typing import Any

from bokeh.core.has_props import is_DataModel
from bokeh.core.json_encoder import serialize_json
from bokeh.core.serialization import Deserializer, Ref, Serialized, Serializer
from bokeh.document import Document
from bokeh.model import Model
from bokeh.protocol.messages.patch_doc import patch_doc

from .platform import adopt, guarded

MIME = "application/vnd.goodman-live+json"
TARGET = "goodman-live"
_MOST_KEPT_BYTES = 32 << 20


_wires: list[Wire] = []  # a comm is good for as long as somebody holds it


def displayed(view: Any, include: Any = None, exclude: Any = None) -> dict[str, Any]:
    """What a cell of a notebook gives the browser for a view: the view, and the wire to it."""
    import panel as pn

    document = Document()
    model = pn.panel(view).get_root(doc=document)
    if model.document is None:
        document.add_root(model)
    adopt(document)
    _wires.append(Wire(document))
    return {MIME: _wires[-1].bundle(), "text/plain": ""}


@dataclass(frozen=True)
class _Message:
    number: int
    data: dict[str, Any]
    buffers: list[bytes]

    @property
    def n_bytes(self) -> int:
        return len(self.data["content"]) + sum(map(len, self.buffers))


class Wire:
    """The document of a page, and the comm over which its changes go.

    Parameters
    ----------
    document
        With its roots; from now on its changes are sent.
    """

    def __init__(self, document: Document) -> None:
        from comm import create_comm

        self.document = document
        self._changes: list[Any] = []
        self._kept: deque[_Message] = deque()
        self._n_bytes = 0
        self._number = 0
        self._is_heard = False
        # Of models of all kinds when we last looked, and of our own, which the browser knows.
        self._n_all_kinds, self._n_kinds = 0, 0
        self._comm = create_comm(target_name=TARGET)
        self._comm.on_msg(guarded(self._received))
        document.on_change_dispatch_to(self)

    def bundle(self) -> dict[str, Any]:
        """The document as it is now, for the page's HTML."""
        self._n_kinds = len(_own_kinds())
        return {
            "comm": self._comm.comm_id,
            "number": self._number,
            "roots": [root.id for root in self.document.roots],
            "document": serialize_json(self.document.to_json(deferred=False)),
        }

    # To the browser

    def _document_patched(self, event: Any) -> None:
        if event.setter is self:
            return
        self._changes.append(event)
        if len(self._changes) == 1:  # all changes of one turn of the loop are drawn together
            asyncio.get_running_loop().call_soon(guarded(self._send_changes))

    def _send_changes(self) -> None:
        changes, self._changes = self._changes, []
        if not changes:
            return
        patch = self._patch_of(changes)
        self._number += 1
        data = {
            "number": self._number,
            "defs": self._new_kinds(),
            "header": patch.header_json,
            "metadata": patch.metadata_json,
            "content": patch.content_json,
            "refs": [json.dumps(buffer.ref) for buffer in patch.buffers],
        }
        buffers = [buffer.to_bytes() for buffer in patch.buffers]
        self._keep(_Message(self._number, data, buffers))
        if self._is_heard:
            self._comm.send(data=data, buffers=buffers)

    def _patch_of(self, changes: list[Any]) -> patch_doc:
        models = self.document.models
        serializer = _Patching(models.synced_references)
        content = {"events": serializer.encode(changes)}
        models.flush_synced(lambda model: not serializer.has_ref(model))
        patch = patch_doc(patch_doc.create_header(), {}, content)
        patch.add_buffers(*serializer.buffers)
        return patch

    def _new_kinds(self) -> list[Any]:
        """Kinds of models that came into being since: a page was imported."""
        n_all_kinds = len(Model.model_class_reverse_map)
        if n_all_kinds == self._n_all_kinds:
            return []
        kinds = _own_kinds()
        new, self._n_kinds, self._n_all_kinds = kinds[self._n_kinds :], len(kinds), n_all_kinds
        return Serializer().encode(new) if new else []

    def _keep(self, message: _Message) -> None:
        self._kept.append(message)
        self._n_bytes += message.n_bytes
        while self._n_bytes > _MOST_KEPT_BYTES and len(self._kept) > 1:
            self._n_bytes -= self._kept.popleft().n_bytes

    # From the browser

    def _received(self, message: dict[str, Any]) -> None:
        content = message["content"]["data"]
        if "seen" in content:
            self._resume(int(content["seen"]), is_new=bool(content.get("hello")))
        if "event" in content:
            self._apply(content["event"])

    def _resume(self, seen: int, *, is_new: bool) -> None:
        """A browser has drawn all up to a number; one that has just connected wants the rest."""
        oldest = self._kept[0].number if self._kept else self._number + 1
        while self._kept and self._kept[0].number <= seen:
            self._n_bytes -= self._kept.popleft().n_bytes
        if not is_new:
            return
        self._is_heard = True
        if seen + 1 < oldest:
            self._comm.send(data={"stale": True})
            return
        self._comm.send(data={"welcome": self._number})
        for message in self._kept:
            self._comm.send(data=message.data, buffers=message.buffers)

    def _apply(self, content: dict[str, Any]) -> None:
        deserializer = Deserializer(list(self.document.models), setter=self)
        event = deserializer.deserialize(Serialized(content=content, buffers=[]))
        kind = event["kind"]
        if kind == "ModelChanged":
            self._set(event["model"], event["attr"], event["new"])
        elif kind == "ColumnsStreamed":
            event["model"]._stream(event["data"], event["rollover"], setter=self)
        elif kind == "ColumnsPatched":
            event["model"].patch(event["patches"], setter=self)
        elif kind == "MessageSent" and event["msg_type"] == "bokeh_event":
            self.document.callbacks.trigger_event(event["msg_data"])

    def _set(self, model: Any, name: str, value: Any) -> None:
        descriptor = model.lookup(name)
        value = descriptor.property.prepare_value(model, descriptor.name, value)
        old = descriptor._get(model)
        descriptor._set(model, old, value, setter=self)  # calls whoever listens, once


class _Patching(Serializer):
    """Refers to models that the browser knows; Bokeh's own names all of them at every patch."""

    def __init__(self, known: set[Model]) -> None:
        super().__init__()
        self._known = known

    def has_ref(self, obj: Any) -> bool:
        return (isinstance(obj, Model) and obj in self._known) or super().has_ref(obj)

    def get_ref(self, obj: Any) -> Ref | None:
        if isinstance(obj, Model) and obj in self._known:
            return obj.ref
        return super().get_ref(obj)


def _own_kinds() -> list[type[Model]]:
    """Kinds of models that were made here, in the order in which they were made."""
    kinds = Model.model_class_reverse_map.values()
    return [kind for kind in kinds if is_DataModel(kind)]
