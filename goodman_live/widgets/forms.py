"""Forms: fields with labels, what is wrong beside the field, sent once however often one clicks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import param

from ..settings import Settings
from .asking import ASKING_CSS, ASKING_JS, Asking


class Form(Asking):
    """Some fields and the button that sends them.

    Deeds: ``{'send': {name: value}}``, ``{'cancel': True}``, ``{'typed': name, 'text': text}`` of
    a field with suggestions.
    """

    fields = param.List(default=[], doc="as `field` makes them")
    values = param.Dict(default={}, doc="value of each field to begin with")
    filled = param.Integer(default=0, doc="counted up to put the values into the fields again")
    placed = param.Dict(default={}, doc="values to put into some fields, the others stay")
    suggested = param.Dict(default={}, doc="by field, [value, label] to choose from while typing")
    errors = param.Dict(default={}, doc="by field, why its value is refused")
    title = param.String(doc="heading")
    about = param.String(doc="a sentence below the heading")
    send_label = param.String(default="Save", doc="what sending is called")
    can_cancel = param.Boolean(default=False, doc="whether there is a button that leaves the form")
    ask = param.String(doc="what is asked before sending; '' to send at once")
    message = param.String(doc="what came of it")
    is_bad = param.Boolean(default=False, doc="whether the message is a refusal")
    in_line = param.Boolean(default=False, doc="fields and button beside each other")

    _css = (
        ASKING_CSS
        + """
form { padding: 14px 16px; background: var(--gl-panel); border: 1px solid var(--gl-line);
  border-radius: 8px; display: grid; gap: 11px; }
h2 { font-size: 14.5px; font-weight: 650; margin: 0; }
.about { color: var(--gl-dim); margin: -6px 0 0; max-width: 68ch; white-space: pre-line; }
.fields { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(230px, 100%), 1fr));
  gap: 11px 16px; align-items: start; }
.field { display: grid; gap: 3px; min-width: 0; align-content: start; }
.field.wide { grid-column: 1 / -1; }
.field label { font-weight: 600; font-size: 12.5px; }
.field .need { color: var(--gl-dim); font-weight: 400; }
.field input:not([type=checkbox]), .field select, .field textarea { width: 100%; padding: 5px 9px;
  min-height: 30px; }
textarea { font: inherit; color: inherit; background: var(--gl-panel);
  border: 1px solid var(--gl-line); border-radius: 5px; resize: vertical; }
textarea:focus-visible { outline: 2px solid var(--gl-accent); outline-offset: 1px; }
.field [aria-invalid=true] { border-color: var(--gl-bad); background: var(--gl-bad-wash); }
.field.switch { grid-template-columns: auto 1fr; gap: 3px 8px; align-items: center; }
.field.switch > :not(input):not(label) { grid-column: 1 / -1; }
.field input[type=checkbox] { width: 17px; height: 17px; margin: 0;
  accent-color: var(--gl-accent); }
.field input[readonly] { background: var(--gl-raised); color: var(--gl-dim); }
.help { font-size: 11.5px; color: var(--gl-dim); max-width: 62ch; }
.help ul { margin: 2px 0; padding-left: 18px; }
.wrong { font-size: 12px; color: var(--gl-bad); white-space: pre-line; }
.wrong:empty { display: none; }
.end { flex-wrap: wrap; }
.end button { padding: 5px 16px; }
.message { color: var(--gl-good); } .message.bad { color: var(--gl-bad); }
.in-line .fields { display: flex; flex-wrap: wrap; align-items: end; }
.in-line .field { flex: 1 1 200px; }
form.bare { padding: 0; border: 0; background: none; }
"""
    )
    _esm = (
        ASKING_JS
        + """
let forms = 0;
export function render({ model }) {
  const tell = asking(model), form_number = ++forms;
  const form = make('form', model.in_line ? 'in-line' : null);
  form.noValidate = true; form.autocomplete = 'on';
  const title = make('h2'), about = make('p', 'about'), fields = make('div', 'fields');
  const end = make('div', 'bar end');
  const send = make('button', 'primary'); send.type = 'submit';
  const cancel = button('Cancel', () => tell({cancel: true}));
  const message = make('span', 'message grow'); message.setAttribute('role', 'status');
  end.append(send, cancel, message);
  form.append(title, about, fields, end);
  let parts = {}, waiting = 0, typing;

  const draw_input = (field, id) => {
    if (field.kind === 'choice') {
      const node = make('select');
      for (const [value, label] of field.choices) node.add(new Option(label, value));
      return node;
    }
    const node = make(field.kind === 'area' ? 'textarea' : 'input');
    if (field.kind === 'area') node.rows = field.rows ?? 4;
    else node.type = {switch: 'checkbox', password: 'password', email: 'email',
      number: 'number'}[field.kind] ?? 'text';
    if (field.kind === 'email' || field.kind === 'suggest') node.spellcheck = false;
    if (field.placeholder) node.placeholder = field.placeholder;
    if (field.autocomplete) node.autocomplete = field.autocomplete;
    node.readOnly = Boolean(field.read_only);
    if (field.kind === 'suggest') {
      const list = make('datalist'); list.id = `${id}-list`;
      node.setAttribute('list', list.id); node.autocomplete = 'off';
      node.oninput = () => { clearTimeout(typing); typing = setTimeout(() =>
        tell({typed: field.name, text: node.value}), 200); };
      return [node, list];
    }
    return node;
  };
  const draw_field = (field) => {
    const id = `gl-form-${form_number}-${field.name}`;
    const row = make('div', 'field' + (field.is_wide ? ' wide' : '') +
      (field.kind === 'switch' ? ' switch' : ''));
    const label = make('label', null, field.label); label.htmlFor = id;
    if (field.is_needed && !model.in_line) label.append(make('span', 'need', ' (needed)'));
    const [input, list] = [draw_input(field, id)].flat();
    input.id = id; input.name = field.name; input.required = Boolean(field.is_needed);
    const help = make('div', 'help'), wrong = make('div', 'wrong');
    help.id = `${id}-help`; wrong.id = `${id}-wrong`; wrong.setAttribute('role', 'alert');
    if (Array.isArray(field.help)) {
      const items = make('ul'); for (const text of field.help) items.append(make('li', null, text));
      help.append(items);
    } else help.textContent = field.help ?? '';
    help.hidden = !field.help;
    input.setAttribute('aria-describedby', `${help.id} ${wrong.id}`);
    row.append(...(field.kind === 'switch' ? [input, label] : [label, input]));
    if (list) row.append(list);
    row.append(help, wrong);
    parts[field.name] = {field, input, list, wrong};
    return row;
  };
  const fill = () => {
    for (const {field, input} of Object.values(parts)) {
      const value = model.values[field.name];
      if (field.kind === 'switch') input.checked = Boolean(value);
      else input.value = value ?? '';
    }
  };
  const place = () => { for (const [name, value] of Object.entries(model.placed))
    if (parts[name]) parts[name].input.value = value; };
  const draw = () => { parts = {}; fields.replaceChildren(...model.fields.map(draw_field));
    fill(); refuse(); suggest(); };
  const refuse = () => {
    let first = null;
    for (const [name, {input, wrong}] of Object.entries(parts)) {
      const why = model.errors[name] ?? '';
      wrong.textContent = why; input.setAttribute('aria-invalid', Boolean(why));
      if (why && !first) first = input;
    }
    first?.focus();
  };
  const suggest = () => {
    for (const [name, {list}] of Object.entries(parts)) if (list)
      list.replaceChildren(...(model.suggested[name] ?? []).map(([value, label]) => {
        const option = new Option(label, value); option.label = label; return option; }));
  };
  const say = () => {
    title.textContent = model.title; title.hidden = !model.title;
    about.textContent = model.about; about.hidden = !model.about;
    message.textContent = model.message; message.classList.toggle('bad', model.is_bad);
    cancel.hidden = !model.can_cancel;
    const is_waiting = waiting > model.finished;
    send.textContent = is_waiting ? 'One moment…' : model.send_label;
    send.disabled = is_waiting; form.setAttribute('aria-busy', is_waiting);
  };
  form.onsubmit = (event) => {
    event.preventDefault();
    if (send.disabled) return;
    const go = () => {
      const values = {};
      for (const [name, {field, input}] of Object.entries(parts))
        if (!field.read_only)
          values[name] = field.kind === 'switch' ? input.checked : input.value;
      waiting = tell({send: values}); say();
    };
    if (model.ask) confirmed(form, model.ask, model.send_label, go); else go();
  };
  form.onkeydown = (event) => { if (event.key === 'Escape' && model.can_cancel &&
    !form.querySelector('dialog')) tell({cancel: true}); };
  model.on('fields', draw);
  model.on('filled', fill);
  model.on('placed', place);
  model.on('errors', refuse);
  model.on('suggested', suggest);
  for (const name of ['title', 'about', 'send_label', 'can_cancel', 'message', 'is_bad',
    'finished']) model.on(name, say);
  draw(); say();
  document.dispatchEvent(new Event('goodman-live-ready'));
  return form;
}
"""
    )

    def fill(self, values: Mapping[str, Any]) -> None:
        """Put values into the fields, and forget what was said."""
        self.param.update(
            values=dict(values), errors={}, message="", is_bad=False, filled=self.filled + 1
        )

    def say(self, text: str) -> None:
        """Say what came of it; nothing is wrong any more."""
        self.param.update(errors={}, message=text, is_bad=False)

    def refuse(self, why: str) -> None:
        """Say why it was refused: beside the field that the sentence is about, if there is one."""
        about = [each["name"] for each in self.fields if _is_about(why, each)]
        if about:
            self.param.update(errors={about[0]: why}, message="", is_bad=True)
        else:
            self.param.update(errors={}, message=why, is_bad=True)

    def lacks(self, values: Mapping[str, Any]) -> bool:
        """Whether a field that is needed is empty; it is said beside it."""
        empty = [
            each
            for each in self.fields
            if each.get("is_needed") and not str(values.get(each["name"], "")).strip()
        ]
        if empty:
            errors = {each["name"]: "This is needed." for each in empty}
            self.param.update(errors=errors, message="", is_bad=True)
        return bool(empty)


def field(
    name: str,
    label: str,
    kind: str = "text",
    *,
    help: str | Sequence[str] = "",
    about: Iterable[str] = (),
    **more: Any,
) -> dict[str, Any]:
    """A field of a `Form`.

    Parameters
    ----------
    kind
        text, email, password, number, area, choice (with `choices`: [value, label]), switch, or
        suggest, which tells what is typed and shows what is `suggested`.
    help
        What to put in; several sentences become a list.
    about
        Words by which a refusal tells that it is about this field.
    more
        is_needed, is_wide, read_only, placeholder, autocomplete, rows, choices.
    """
    help = help if isinstance(help, str) else list(help)
    return {"name": name, "label": label, "kind": kind, "help": help, "about": list(about), **more}


def fields_from(settings: type[Settings]) -> list[dict[str, Any]]:
    """A field for each of some declared settings."""
    return [_field_from(settings.param[name]) for name in settings.names()]


def _field_from(declared: param.Parameter) -> dict[str, Any]:
    if isinstance(declared, param.Boolean):
        return field(declared.name, declared.label, "switch", help=declared.doc)
    choices = [[value, value] for value in declared.objects]
    return field(declared.name, declared.label, "choice", help=declared.doc, choices=choices)


def _is_about(why: str, of: Mapping[str, Any]) -> bool:
    return any(word in why.lower() for word in of["about"])
