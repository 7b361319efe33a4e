"""A semester's proposals and people from a file, for staff: tried, looked at, then registered.

What a file would change is said by the archive itself, which tries it and takes that back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import panel as pn
import param

from .asking import ASKING_CSS, ASKING_JS, Asking
from .table import Table, column, counted

if TYPE_CHECKING:
    from ..people.entries import Registration
    from .management_page import ManagementPage

COLUMNS = (column("what", "What", width="120px"), column("text", "What would change", "long"))
HEADING = (
    "soar_id,pi_email,pi_first_name,pi_last_name,partner,semester,title,abstract,collaborators"
)
_EXAMPLE = (
    "SOAR2026B-001,ada@host.org,Ada,Lovelace,NOIRLAB,2026B,A title,,"
    "bob@host.org; Eve Roe <eve@host.org>"
)


class RosterFile(Asking):
    """Where a file is chosen, and what became of it.

    Deeds: ``{'csv': text, 'name': of the file}``, ``{'register': True}``, ``{'forget': True}``.
    """

    file_name = param.String(doc="the file that was read; '' before")
    said = param.String(doc="what it would do, or did")
    is_bad = param.Boolean(default=False, doc="whether that is a refusal")
    can_register = param.Boolean(default=False, doc="whether there is something to be registered")
    busy = param.Boolean(default=False, doc="whether the archive is asked just now")
    template = param.String(default=f"{HEADING}\n{_EXAMPLE}\n", constant=True, doc="a file to fill")

    _css = (
        ASKING_CSS
        + """
.whole { padding: 12px 14px; display: grid; gap: 9px; border-bottom: 1px solid var(--gl-line);
  background: var(--gl-panel); }
h2 { font-size: 15px; margin: 0; } p { margin: 0; max-width: 96ch; }
.drop { border: 1.5px dashed var(--gl-line); border-radius: 8px; padding: 12px 14px; display: flex;
  gap: 12px; align-items: center; flex-wrap: wrap; }
.drop.over { border-color: var(--gl-accent); background: var(--gl-select); }
.said { font-weight: 600; } .said.bad { color: var(--gl-bad); }
code { font-family: var(--gl-mono); font-size: 11.5px; overflow-wrap: anywhere; }
"""
    )
    _esm = (
        ASKING_JS
        + """
export function render({ model }) {
  const tell = asking(model), whole = make('div', 'whole'), drop = make('div', 'drop');
  const file = make('input'), about = make('p', 'dim');
  file.type = 'file'; file.accept = '.csv,text/csv'; file.hidden = true;
  file.setAttribute('aria-label', 'CSV file');
  const read = async (one) => { if (one) tell({csv: await one.text(), name: one.name}); };
  file.onchange = async () => { await read(file.files[0]); file.value = ''; };
  const choose = button('Choose a file…', () => file.click());
  const name = make('span', 'mono grow', ''), said = make('span', 'said');
  said.setAttribute('role', 'status');
  const go = button('Register', () => tell({register: true}), 'primary');
  const no = button('Put away', () => tell({forget: true}));
  drop.ondragover = (event) => { event.preventDefault(); drop.classList.add('over'); };
  drop.ondragleave = () => drop.classList.remove('over');
  drop.ondrop = (event) => { event.preventDefault(); drop.classList.remove('over');
    read(event.dataTransfer.files[0]); };
  const sample = button('Download a template', () => {
    const link = make('a'); link.download = 'semester.csv';
    link.href = URL.createObjectURL(new Blob([model.template], {type: 'text/csv'}));
    link.click(); setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
  const heading = make('code', null, model.template.split('\\n')[0]);
  about.append('A CSV file with a row for each proposal, and these columns, the first two ' +
    'of which are needed: ', heading, '. Collaborators are addresses between semicolons. Who is ' +
    'new gets an account and an invitation; nobody is taken out. Nothing is done before you ' +
    'have seen what it would be.');
  drop.append(choose, file, name, sample);
  const bar = make('div', 'bar'); bar.append(said, make('span', 'grow'), no, go);
  whole.append(make('h2', null, 'Import a semester'), about, drop, bar);
  const draw = () => {
    name.textContent = model.file_name || 'or drop one here';
    said.textContent = model.busy ? 'Asking the archive…' : model.said;
    said.classList.toggle('bad', model.is_bad);
    bar.hidden = !model.file_name && !model.said;
    go.hidden = !model.can_register; go.disabled = choose.disabled = model.busy;
    no.hidden = !model.file_name;
  };
  for (const what of ['file_name', 'said', 'is_bad', 'can_register', 'busy']) model.on(what, draw);
  draw();
  return whole;
}
"""
    )


class RosterImport(pn.viewable.Viewer):
    """A file, what it would change, and the word to do it."""

    def __init__(self, page: ManagementPage, **params: Any) -> None:
        super().__init__(**params)
        self.page = page
        self._text = ""
        self.file = RosterFile(sizing_mode="stretch_width")
        self.table = Table(
            columns=list(COLUMNS), label="Changes", empty="", sizing_mode="stretch_both"
        )
        self.file.on_deed(self._deed)
        self._layout = pn.Column(self.file, self.table, margin=0, sizing_mode="stretch_both")

    def __panel__(self) -> pn.Column:
        return self._layout

    def open(self, query: Mapping[str, str]) -> None:
        """Begin with no file."""
        self._forget()

    def _forget(self) -> None:
        self._text = ""
        self.file.param.update(file_name="", said="", is_bad=False, can_register=False)
        self.table.param.update(rows=[], empty="")

    def _deed(self, told: Mapping[str, Any]) -> None:
        if "csv" in told:
            self._text = told["csv"]
            self.file.param.update(file_name=told["name"], said="", can_register=False, busy=True)
            self.page.tasks.begin(self._ask, True)
        elif "forget" in told:
            self._forget()
        elif self._text and not self.file.busy:
            self.file.busy = True
            self.page.tasks.begin(self._ask, False)

    async def _ask(self, dry: bool) -> None:
        text, archive = self._text, self.page.archive
        try:
            found = await asyncio.to_thread(lambda: archive.import_people(text, dry=dry))
        finally:
            self.file.busy = False
        if text != self._text:
            return
        self.table.param.update(rows=rows_of(found), empty="")
        self.file.param.update(
            said=said_of(found),
            is_bad=bool(found.problems),
            can_register=dry and not found.problems and bool(found.changes or found.invited),
        )
        if found.is_done:
            self._text = self.file.file_name = ""


def said_of(found: Registration) -> str:
    """What a file would do, or did, in a sentence."""
    if found.problems and not found.is_done:
        return "Nothing was registered: mend these lines and choose the file again."
    rows = counted(found.n_rows, "proposal")
    changes, invited = counted(len(found.changes), "change"), len(found.invited)
    if not found.is_done:
        nothing = not (found.changes or found.invited)
        if nothing:
            return f"{rows} read: all of it is registered already."
        return f"{rows} read, {changes} to make, {counted(invited, 'invitation')} to send."
    n_sent = invited - len(found.problems)
    return f"{rows} registered: {changes} made, {counted(n_sent, 'invitation')} sent."


def rows_of(found: Registration) -> list[dict[str, Any]]:
    """What the table shows: what is wrong first."""
    invitation = "invited" if found.is_done else "to be invited"
    lines = [("problem", text, "bad") for text in found.problems]
    lines += [("change", text, "") for text in found.changes]
    lines += [("invitation", f"{email} {invitation}", "") for email in found.invited]
    return [
        {
            "id": number,
            "cells": {"what": what, "text": text},
            "marks": {"what": mark} if mark else {},
        }
        for number, (what, text, mark) in enumerate(lines, 1)
    ]
