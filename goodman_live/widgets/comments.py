"""What people say of a frame: read, add, edit one's own, delete.

What somebody writes stays in its box until the archive has it, also while another frame is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import param

from ..access import Viewer, may
from .asking import ASKING_CSS, ASKING_JS, Asking
from .times import LOCAL_TIMES, date_and_clock

LONGEST = 10_000
_MOST_ENDED = 20


def rows_of(comments: Sequence[Any], viewer: Viewer | None) -> list[dict[str, Any]]:
    """What `CommentList` shows of comments, and what the viewer may do to each."""
    return [
        {
            "id": comment.id,
            "author": comment.author,
            "text": comment.text,
            "iso": comment.created,
            "time": f"{date_and_clock(comment.created)} UT",
            "edited": bool(comment.edited),
            "can_edit": viewer is not None and may(viewer, "edit comment", comment),
            "can_delete": viewer is not None and may(viewer, "delete comment", comment),
        }
        for comment in comments
    ]


class CommentList(Asking):
    """Comments on one file, the oldest first, and a box for another.

    Deeds: ``{'add': text}``, ``{'edit': id, 'text': text}``, ``{'delete': id}``,
    ``{'typing': True}`` when somebody begins.
    """

    rows = param.List(default=[], doc="as `rows_of` gives them")
    can_add = param.Boolean(default=False, doc="whether the viewer may say something")
    about = param.Integer(default=0, doc="number of the file")
    ended = param.List(default=[], doc="[count, whether it was done] of the last deeds that ended")
    message = param.String(doc="said in the place of comments")
    longest = param.Integer(default=LONGEST, constant=True, doc="characters of a comment")

    def end(self, deed: dict[str, Any], *, is_done: bool) -> None:
        """Say at the box from which a deed came how it ended."""
        self.ended = [*self.ended, [deed["count"], is_done]][-_MOST_ENDED:]

    _css = (
        ASKING_CSS
        + """
:host { height: 100%; }
.whole { height: 100%; overflow: auto; padding: 10px 14px; }
.comment { border-bottom: 1px solid var(--gl-line); padding: 6px 0 8px; max-width: 90ch; }
.comment .bar { font-size: 12px; }
.comment p { margin: 3px 0 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.comment button { font-size: 11.5px; padding: 0 7px; }
textarea { width: 100%; max-width: 90ch; font: inherit; color: inherit; resize: vertical;
  background: var(--gl-panel); border: 1px solid var(--gl-line); border-radius: 5px;
  padding: 5px 8px; display: block; margin: 6px 0; }
"""
    )
    _esm = (
        ASKING_JS
        + LOCAL_TIMES
        + """
export function render({ model }) {
  const tell = asking(model);
  const whole = make('div', 'whole'), list = make('div'), form = make('div');
  const box = (label, text) => {
    const area = make('textarea'); area.rows = 3; area.value = text; area.maxLength = model.longest;
    area.setAttribute('aria-label', label); area.placeholder = label;
    return area;
  };
  const area = box('Add new comment', '');
  // What is on its way to the archive, and what was begun at other frames.
  const sent = new Map(), drafts = new Map();
  let about = model.about;
  const is_sent = (what) => [...sent.values()].some((one) => one.about === about && what in one);
  const wait = () => {
    add.disabled = area.readOnly = is_sent('add');
    add.textContent = add.disabled ? 'Adding…' : 'Add comment';
  };
  const add = button('Add comment', () => {
    if (area.value.trim()) { sent.set(tell({add: area.value}), {about, add: true}); wait(); }
  }, 'primary');
  area.onkeydown = (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) add.click(); };
  form.append(area, add);
  area.onfocus = () => tell({typing: true});
  let editing = 0, draft = '';
  const edit = (row) => {
    const other = box('Edit comment', draft), bar = make('div', 'bar');
    other.oninput = () => { draft = other.value; };
    const save = button('Save', () => {
      sent.set(tell({edit: row.id, text: draft}), {about, edit: row.id}); draw(); }, 'primary');
    save.disabled = other.readOnly = is_sent('edit');
    if (save.disabled) save.textContent = 'Saving…';
    bar.append(save, button('Cancel', () => { editing = 0; draw(); }));
    return [other, bar];
  };
  const draw_one = (row) => {
    const node = make('div', 'comment'), bar = make('div', 'bar');
    const time = make('span', 'dim', row.time); time.title = localTimes(row.iso);
    bar.append(make('b', '', row.author), time, make('span', 'dim grow',
      row.edited ? 'edited' : ''));
    if (editing === row.id) { node.append(bar, ...edit(row)); return node; }
    if (row.can_edit) bar.append(button('Edit', () => {
      editing = row.id; draft = row.text; tell({typing: true}); draw(); }));
    if (row.can_delete) bar.append(button('Delete', () =>
      confirmed(whole, 'Delete this comment?', 'Delete', () => tell({delete: row.id}))));
    node.append(bar, make('p', '', row.text));
    return node;
  };
  const draw = () => {
    const empty = model.message || (model.rows.length ? '' : 'No comments yet.');
    list.replaceChildren(...model.rows.map(draw_one));
    if (empty) list.append(make('div', 'dim', empty));
    form.hidden = !model.can_add;
  };
  for (const name of ['rows', 'can_add', 'message']) model.on(name, draw);
  model.on('about', () => {
    drafts.set(about, area.value); about = model.about;
    area.value = drafts.get(about) || ''; editing = 0; wait(); draw();
  });
  model.on('ended', () => {
    for (const [count, is_done] of model.ended) {
      const one = sent.get(count);
      sent.delete(count);
      if (!one || !is_done) continue;
      if (one.edit && one.edit === editing) editing = 0;
      if (one.add && one.about === about) area.value = '';
      if (one.add) drafts.delete(one.about);
    }
    wait(); draw();
  });
  draw();
  whole.append(list, form);
  return whole;
}
"""
    )
