"""Which calibrations a frame gets, and why these: one line for the head, a table for who asks.

The answers are those of `reasons`, as the archive gives them; here they are put into rows. One may
also choose another arc than the rules do, and have the wavelengths made with that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import param

from .asking import ASKING_CSS, ASKING_JS, Asking

SHOWN_REFUSED = 30  # of each kind, of those that may not serve


def calibration_line(
    choices: Sequence[Any],
    made_of: Sequence[str] = (),
    n_in_masters: Mapping[str, tuple[int, int]] | None = None,
) -> list[list[str]]:
    """How a frame stands for each kind: [kind, 'done', 'provisional' or 'failed', in words].

    Of arcs those in `made_of` count, if there are any: somebody may have chosen others than the
    rules do. Of masters counts what they were when the file was made, as `Why.n_in_masters` says;
    where nothing was made yet, what the rules choose.
    """
    n_in_masters = n_in_masters or {}
    return [
        [choice.kind, *_standing(choice, made_of, n_in_masters.get(choice.kind))]
        for choice in choices
    ]


def master_line(n_in_masters: Mapping[str, tuple[int, int]]) -> list[list[str]]:
    """The same for a master itself: of how many frames it is."""
    return [[kind, "done", f"master of {now}"] for kind, (_, now) in n_in_masters.items()]


def _standing(
    choice: Any, made_of: Sequence[str], n_in_master: tuple[int, int] | None
) -> tuple[str, str]:
    if n_in_master is not None:
        was, now = n_in_master
        if was == now:
            return "done", f"master of {was}"
        return "provisional", f"master of {was}, which is now of {now}"
    chosen = [each for each in choice.judged if each.chosen]
    names = [name for each in chosen for name in each.file_names]
    if choice.kind == "arc":
        looked_at = [name for each in choice.judged for name in each.file_names]
        names = [name for name in looked_at if name in made_of] or names
    if names and choice.kind == "arc":
        others = f" and {len(names) - 1} more" if len(names) > 1 else ""
        why = next((each.reason for each in chosen if names[0] in each.file_names), "")
        return "done", f"{names[0]}{others}" + (f", {why}" if why else "")
    if chosen:
        return "done", f"master of {len(names)}"
    serves = [each for each in choice.judged if each.serves]
    if serves and choice.kind != "arc":
        most = max(serves, key=lambda each: len(each.file_names))
        return "provisional", f"building, {most.reason}"
    return "failed", f"missing. {choice.missing}"


def kinds_of(choices: Sequence[Any]) -> list[dict[str, Any]]:
    """What `WhyPanel` shows: of each kind all that was looked at, the best first."""
    return [
        {
            "kind": choice.kind,
            "missing": choice.missing,
            "judged": _judged(choice),
            "n_hidden": max(0, sum(not e.serves for e in choice.judged) - SHOWN_REFUSED),
        }
        for choice in choices
    ]


def _judged(choice: Any) -> list[dict[str, Any]]:
    refused = [each for each in choice.judged if not each.serves]
    hidden = {id(each) for each in refused[SHOWN_REFUSED:]}
    return [
        {
            "name": _name_of(choice.kind, each.file_names),
            "id": each.file_ids[0] if each.file_ids else 0,
            "files": ", ".join(each.file_names),
            "serves": each.serves,
            "chosen": each.chosen,
            "reason": each.reason,
        }
        for each in choice.judged
        if id(each) not in hidden
    ]


def _name_of(kind: str, names: Sequence[str]) -> str:
    if kind == "arc" or len(names) == 1:
        return names[0]
    return f"{len(names)} frames, {names[0]} …"


class WhyPanel(Asking):
    """Kind by kind, what was chosen and what was not, each with its reason.

    Deeds: ``{'calibrate': id of a raw arc, or 0 for those that the rules choose}``,
    ``{'open': id}``.
    """

    kinds = param.List(default=[], doc="as `kinds_of` gives them")
    made_of = param.List(default=[], doc="names of what the file shown was made of")
    made_of_ids = param.List(default=[], doc="numbers of these, 0 of what is not here")
    message = param.String(doc="said in the place of the table")
    n_arcs_wanted = param.Integer(default=0, doc="counted up to bring the arcs into view")
    can_calibrate = param.Boolean(default=False, doc="whether an arc may be chosen")

    _css = (
        ASKING_CSS
        + """
:host { height: 100%; }
.whole { height: 100%; overflow: auto; padding: 8px 14px 14px; }
h3 { font-size: 13px; margin: 12px 0 3px; text-transform: capitalize; display: flex; gap: 10px;
  align-items: baseline; }
h3:first-child { margin-top: 0; }
h3 .missing { font-weight: 400; color: var(--gl-bad); font-size: 12px; text-transform: none; }
table { border-collapse: collapse; width: 100%; font-size: 12px; }
td { padding: 3px 10px 3px 0; border-bottom: 1px solid var(--gl-line); vertical-align: top; }
td:first-child { width: 24px; text-align: center; }
.name { font-family: var(--gl-mono); width: 38%; overflow-wrap: anywhere; }
.name button { border: 0; padding: 0; text-align: left; color: var(--gl-accent); }
.tag { margin-left: 8px; font: 11px var(--gl-font); color: var(--gl-good); white-space: nowrap; }
.refused { color: var(--gl-dim); }
.chosen .name { font-weight: 600; }
.made { font-size: 12px; margin-bottom: 8px; overflow-wrap: anywhere; }
.made .link { border: 0; padding: 0; color: var(--gl-accent); font: 11.5px var(--gl-mono); }
.choose { display: flex; gap: 10px; align-items: center; margin: 7px 0 2px; }
label { cursor: pointer; }
details { font-size: 12px; color: var(--gl-dim); margin-top: 4px; }
"""
    )
    _esm = (
        ASKING_JS
        + """
export function render({ model }) {
  const tell = asking(model);
  const whole = make('div', 'whole');
  whole.tabIndex = 0; whole.setAttribute('role', 'region');
  whole.setAttribute('aria-label', 'Calibrations');
  let arc = 0;
  const row = (each, kind) => {
    const node = make('tr', each.chosen ? 'chosen' : each.serves ? '' : 'refused');
    const first = make('td'), name = make('td', 'name');
    if (kind === 'arc' && model.can_calibrate && each.serves) {
      const radio = make('input'); radio.type = 'radio'; radio.name = 'arc';
      radio.setAttribute('aria-label', 'Use ' + each.name); radio.checked = arc === each.id;
      radio.onchange = () => { arc = each.id; };
      first.append(radio);
    } else first.textContent = each.chosen ? '✓' : each.serves ? '·' : '✕';
    const link = button(each.name, () => tell({open: each.id}));
    link.title = each.files;
    name.append(link);
    if (kind === 'arc' && each.chosen) name.append(make('span', 'tag', 'chosen by the rules'));
    node.append(first, name, make('td', '', each.reason));
    return node;
  };
  const section = (kind) => {
    const title = make('h3', '', kind.kind); title.dataset.kind = kind.kind;
    if (kind.missing) title.append(make('span', 'missing', kind.missing));
    const table = make('table'), body = make('tbody');
    table.setAttribute('aria-label', kind.kind);
    body.append(...kind.judged.filter((each) => each.serves).map((each) => row(each, kind.kind)));
    table.append(body);
    const parts = [title];
    if (body.children.length) parts.push(table);
    if (kind.kind === 'arc' && model.can_calibrate) parts.push(choice(kind));
    const refused = kind.judged.filter((each) => !each.serves);
    if (refused.length) {
      const more = make('details'), other = make('table'), lines = make('tbody');
      const hidden = kind.n_hidden ? `, the nearest ${refused.length} here` : '';
      more.append(make('summary', '', `${refused.length + kind.n_hidden} may not serve${hidden}`));
      lines.append(...refused.map((each) => row(each, kind.kind)));
      other.append(lines); more.append(other); parts.push(more);
    }
    return parts;
  };
  const choice = (kind) => {
    const line = make('div', 'choose'), label = make('label'), radio = make('input');
    radio.type = 'radio'; radio.name = 'arc'; radio.checked = arc === 0;
    radio.onchange = () => { arc = 0; };
    label.append(radio, ' those that the rules choose');
    const go = button('Calibrate wavelength', () => tell({calibrate: arc}), 'primary');
    go.disabled = !kind.judged.some((each) => each.serves);
    line.append(label, go);
    return line;
  };
  const made = () => {
    const node = make('div', 'made'), n = model.made_of.length;
    node.append(make('span', 'dim', `This file was made of ${n === 1 ? 'one' : n}: `));
    model.made_of.forEach((name, at) => {
      const id = model.made_of_ids[at];
      node.append(id ? button(name, () => tell({open: id}), 'link') : make('span', null, name),
        at < n - 1 ? ', ' : '');
    });
    return node;
  };
  const draw = () => {
    const serving = model.kinds.flatMap((kind) => kind.judged).some((each) => each.id === arc);
    if (!serving) arc = 0;
    const parts = [];
    if (model.message) parts.push(make('div', 'dim', model.message));
    if (model.made_of.length) parts.push(made());
    parts.push(...model.kinds.flatMap(section));
    whole.replaceChildren(...parts);
  };
  for (const name of ['kinds', 'made_of', 'made_of_ids', 'message', 'can_calibrate'])
    model.on(name, draw);
  model.on('n_arcs_wanted', () => setTimeout(() => {
    whole.querySelector('[data-kind=arc]')?.scrollIntoView({block: 'start'});
    whole.querySelector('.choose .primary')?.focus({preventScroll: true});
  }, 50));
  draw();
  return whole;
}
"""
    )
