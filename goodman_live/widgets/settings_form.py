"""A form for reduction settings, made of the declarations of the settings themselves.

Names, help, bounds, choices and defaults come from the `Settings` class and are written nowhere
else; whether a value is allowed is for the class to say, and what it says stands at the field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import panel as pn
import param

from ..errors import GoodmanError, SettingsError
from ..settings import Settings
from .component import Component
from .theme import alone_css

GROUPS = (  # in the order people look for them; others follow
    "General",
    "Calibrations",
    "Flat Normalization",
    "Spectroscopic Target",
    "Wavelength calibration",
)
_KINDS = {param.Boolean: "switch", param.Selector: "choice", param.Integer: "integer"}


def fields_of(settings: type[Settings], names: Sequence[str] = ()) -> list[dict[str, Any]]:
    """What the page needs to draw each setting, in the order of the groups.

    Parameters
    ----------
    names
        Only these; by default all.
    """
    known = {group: number for number, group in enumerate(GROUPS)}
    fields = [_field_of(settings, name) for name in names or settings.names()]
    return sorted(fields, key=lambda field: known.get(field["group"], len(GROUPS)))


def _field_of(settings: type[Settings], name: str) -> dict[str, Any]:
    declared = settings.param[name]
    kind = next((kind for type_, kind in _KINDS.items() if isinstance(declared, type_)), "number")
    low, high = getattr(declared, "bounds", None) or (None, None)
    return {
        "name": name,
        "group": settings.group_of(name),
        "label": declared.label,
        "help": declared.doc,
        "kind": kind,
        "default": declared.default,
        "choices": list(getattr(declared, "objects", [])),
        "low": low,
        "high": high,
    }


def said_of(error: SettingsError, settings: type[Settings]) -> str:
    """What is wrong with a value, in the words of the form rather than of the program."""

    def label(found: re.Match) -> str:
        return settings.param[found[1]].label

    text = re.sub(r"^\w+ parameter '\w+\.(\w+)'", label, str(error))
    text = re.sub(r"does not accept .*'\[(.*)\]'$", r"must be one of \1.", text)
    return re.sub(r", not <class '\w+'>", "", text)


def _all_settings() -> Settings:
    from ..recipes import ReductionSettings  # what a page with other settings need not load

    return ReductionSettings()


class FormFields(Component):
    """The fields on the page. What people do comes as `edits`; what holds is in `values`."""

    fields = param.List(default=[], constant=True, doc="as `fields_of` gives them")
    values = param.Dict(default={}, doc="value of each setting")
    errors = param.Dict(
        default={}, doc="by field, what was put in and why it is refused: {'value', 'why'}"
    )
    compact = param.Boolean(default=False, doc="one column, help only where the keyboard is")
    can_save = param.Boolean(default=False, doc="whether there is somewhere to save to")
    save_label = param.String(default="Save as proposal default", doc="what saving is called")
    json = param.String(doc="the settings as JSON")
    message = param.String(doc="what came of saving or of the JSON")
    is_bad = param.Boolean(default=False, doc="whether the message is a refusal")
    edits = param.List(
        default=[],
        doc="set by the page, those not answered yet: {'count': n, 'set': name, 'value': v}, "
        "{'count': n, 'reset': name or ''}, {'count': n, 'json': text}, {'count': n, 'save': True}",
    )
    answered = param.Integer(default=0, doc="count of the last edit that was dealt with")

    _css = """
.whole { padding: 12px 14px; background: var(--gl-panel); color: var(--gl-text); }
.whole.compact { padding: 0; background: none; }
.top { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; margin-bottom: 12px; }
.compact .top { display: none; }
.groups { columns: 330px; column-gap: 12px; }
.compact .groups { display: block; }
fieldset { border: 1px solid var(--gl-line); border-radius: 7px; padding: 4px 12px 8px;
  margin: 0 0 12px; min-width: 0; break-inside: avoid; }
.compact fieldset { border: 0; padding: 0; margin: 0; }
legend { font-weight: 650; padding: 0 5px; }
.compact legend { display: none; }
.field { display: grid; grid-template-columns: minmax(0, 1fr) auto 22px; gap: 1px 8px;
  align-items: center; padding: 5px 0 5px 10px; border-left: 3px solid transparent; }
.field + .field { border-top: 1px solid var(--gl-line); }
.compact .field { padding: 3px 0 3px 8px; } .compact .field + .field { border-top: 0; }
.field.changed { border-left-color: var(--gl-accent); }
.field.changed label { font-weight: 650; }
.field input[type=number], .field select { width: 124px; }
.compact .field input[type=number], .compact .field select { width: 100px; }
.field input[type=number] { font-family: var(--gl-mono); text-align: right; }
.field input[type=checkbox] { justify-self: end; width: 17px; height: 17px;
  accent-color: var(--gl-accent); }
.field input[aria-invalid=true] { border-color: var(--gl-bad); background: var(--gl-bad-wash); }
.field .undo { padding: 0; width: 22px; height: 22px; border: 0; color: var(--gl-accent);
  visibility: hidden; font-size: 15px; line-height: 1; }
.field.changed .undo { visibility: visible; }
.help { grid-column: 1 / 3; font-size: 11.5px; color: var(--gl-dim); max-width: 62ch; }
.compact .help { display: none; } .compact .field:focus-within .help { display: block; }
.wrong { grid-column: 1 / 3; font-size: 12px; color: var(--gl-bad); }
.wrong:empty { display: none; }
details { border: 1px solid var(--gl-line); border-radius: 7px;
  padding: 6px 12px; }
.compact details { display: none; }
summary { cursor: pointer; font-weight: 650; }
summary:focus-visible { outline: 2px solid var(--gl-accent); outline-offset: 2px; }
textarea { width: 100%; height: 210px; margin: 8px 0; font-family: var(--gl-mono);
  font-size: 12px; background: var(--gl-raised); color: inherit; border-radius: 5px;
  border: 1px solid var(--gl-line); padding: 6px 8px; resize: vertical; }
.primary { background: var(--gl-accent); border-color: var(--gl-accent); color: var(--gl-panel);
  font-weight: 600; }
.message.bad { color: var(--gl-bad); } .message { color: var(--gl-good); }
[hidden] { display: none !important; }
"""
    _esm = """
let forms = 0;
export function render({ model }) {
  const form = ++forms;
  const make = (tag, name, text) => {
    const node = document.createElement(tag);
    if (name) node.className = name;
    if (text != null) node.textContent = text;
    return node;
  };
  // Changes of a property in quick succession become one on their way: so all are sent again
  // until they are answered.
  let count = model.answered;
  const tell = (deed) => {
    const open = model.edits.filter((edit) => edit.count > model.answered);
    model.edits = [...open, {...deed, count: ++count}];
  };
  const button = (text, deed) => { const node = make('button', null, text);
    node.type = 'button'; node.onclick = deed; return node; };

  const whole = make('div', model.compact ? 'whole compact' : 'whole');
  const top = make('div', 'top'), groups = make('div', 'groups');
  const changed = make('span', 'dim grow'), message = make('span', 'message');
  changed.setAttribute('aria-live', 'polite'); message.setAttribute('role', 'status');
  const reset = button('Reset all', () => tell({reset: ''}));
  const save = button(model.save_label, () => tell({save: true}));
  save.className = 'primary'; save.hidden = !model.can_save;
  top.append(changed, message, reset, save);

  const fieldsets = {}, parts = {}, typed = new Set();
  for (const field of model.fields) {
    if (!fieldsets[field.group]) {
      const set = make('fieldset'); set.append(make('legend', null, field.group));
      fieldsets[field.group] = set; groups.append(set);
    }
    fieldsets[field.group].append(draw(field));
  }

  function draw(field) {
    const id = `gl-${form}-${field.name}`;
    const row = make('div', 'field'); row.dataset.name = field.name;
    const label = make('label', null, field.label); label.htmlFor = id; label.title = field.help;
    let input;
    if (field.kind === 'choice') {
      input = make('select');
      for (const choice of field.choices) input.add(new Option(choice, choice));
      input.onchange = () => tell({set: field.name, value: input.value});
    } else {
      input = make('input');
      input.type = field.kind === 'switch' ? 'checkbox' : 'number';
      if (field.kind === 'switch') {
        input.onchange = () => tell({set: field.name, value: input.checked});
      } else {
        input.step = field.kind === 'integer' ? 1 : 'any';
        if (field.low != null) input.min = field.low;
        if (field.high != null) input.max = field.high;
        input.onchange = () => tell({set: field.name,
          value: input.value === '' ? null : Number(input.value)});
        // The arrow keys step by a tenth of the default's size, with Shift by ten times that.
        if (field.kind === 'number') input.onkeydown = (event) => {
          const way = {ArrowUp: 1, ArrowDown: -1}[event.key];
          if (!way || input.value === '') return;
          event.preventDefault();
          const size = 10 ** Math.floor(Math.log10(Math.abs(field.default) || 1));
          const next = Number(input.value) + way * size * (event.shiftKey ? 1 : 0.1);
          const least = field.low ?? -Infinity, most = field.high ?? Infinity;
          input.value = Number(Math.min(Math.max(next, least), most).toFixed(6));
          input.onchange();
        };
      }
    }
    input.id = id;
    const changed = input.onchange;
    input.oninput = () => typed.add(field.name);
    input.onchange = () => { typed.delete(field.name); changed(); };
    input.onblur = () => typed.delete(field.name);
    input.setAttribute('aria-describedby', `${id}-help ${id}-wrong`);
    const undo = button('↺', () => { tell({reset: field.name}); input.focus(); });
    undo.className = 'undo';
    const normal = field.kind === 'switch' ? (field.default ? 'on' : 'off') : field.default;
    undo.title = `Back to the default, ${normal}`;
    undo.setAttribute('aria-label', `Reset ${field.label} to ${normal}`);
    const range = field.low == null ? '' : ` From ${field.low} to ${field.high}.`;
    const help = make('div', 'help', `${field.help} Default: ${normal}.${range}`);
    help.id = `${id}-help`;
    const wrong = make('div', 'wrong'); wrong.id = `${id}-wrong`;
    wrong.setAttribute('role', 'alert');
    row.append(label, input, undo, help, wrong);
    parts[field.name] = {row, input, wrong, field};
    return row;
  }

  const details = make('details'); details.append(make('summary', null, 'As JSON'));
  const text = make('textarea'); text.spellcheck = false;
  text.setAttribute('aria-label', 'Settings as JSON');
  const bar = make('div', 'bar'), file = make('input');
  file.type = 'file'; file.accept = '.json,application/json'; file.hidden = true;
  file.setAttribute('aria-label', 'Settings file');
  file.onchange = async () => { if (file.files.length) {
    tell({json: await file.files[0].text()}); file.value = ''; } };
  bar.append(
    button('Apply', () => tell({json: text.value})),
    button('Upload…', () => file.click()), file,
    button('Download', () => {
      const link = make('a'); link.download = 'goodman_settings.json';
      link.href = URL.createObjectURL(new Blob([model.json], {type: 'application/json'}));
      link.click(); setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    }));
  details.append(text, bar);

  const show = () => {
    let n_changed = 0;
    for (const {row, input, wrong, field} of Object.values(parts)) {
      const value = model.values[field.name], error = model.errors[field.name];
      // What is refused stays in the field for whoever typed it to see; what is being typed stays.
      const held = error ? error.value : value;
      const open = model.edits.some((edit) => edit.set === field.name &&
        edit.count > model.answered);
      if (!open && !typed.has(field.name)) {
        if (field.kind === 'switch') input.checked = held; else input.value = held ?? '';
      }
      const differs = value !== field.default;
      n_changed += differs;
      row.classList.toggle('changed', differs || Boolean(error));
      input.setAttribute('aria-invalid', Boolean(error));
      wrong.textContent = error?.why ?? '';
    }
    changed.textContent = n_changed === 0 ? 'All settings have their defaults.' :
      `${n_changed} of ${model.fields.length} settings differ from the default.`;
    reset.disabled = n_changed === 0 && Object.keys(model.errors).length === 0;
  };
  const say = () => { message.textContent = model.message;
    message.classList.toggle('bad', model.is_bad); };
  const write = () => { text.value = model.json; };
  for (const name of ['values', 'errors']) model.on(name, show);
  for (const name of ['message', 'is_bad']) model.on(name, say);
  model.on('json', write);
  show(); say(); write();
  whole.append(top, groups, details);
  document.dispatchEvent(new Event('goodman-live-ready'));
  return whole;
}
"""


class SettingsForm(pn.viewable.Viewer):
    """A form over settings; `value` always holds settings that are allowed.

    Parameters
    ----------
    value
        Settings to begin with; a new object takes its place at every change.
    names
        Settings shown; by default all, in groups.
    on_save
        Called with the settings when somebody saves them; without it there is no such button.
    compact
        A narrow column of fields without the JSON, for use beside something else.
    """

    value = param.ClassSelector(class_=Settings, doc="the settings that hold")
    theme = param.Selector(default="light", objects=["light", "dark"], doc="colours of the page")

    def __init__(
        self,
        value: Settings | None = None,
        *,
        names: Sequence[str] = (),
        on_save: Callable[[Settings], object] | None = None,
        save_label: str = "Save as proposal default",
        compact: bool = False,
        **params: object,
    ) -> None:
        super().__init__(value=value or _all_settings(), **params)
        self._on_save = on_save
        self._names = list(names) or self.value.names()
        self.fields = FormFields(
            fields=fields_of(type(self.value), self._names),
            compact=compact,
            can_save=on_save is not None,
            save_label=save_label,
            sizing_mode="stretch_width",
        )
        self._layout = pn.Column(self.fields, sizing_mode="stretch_width", margin=0)
        self.fields.param.watch(lambda event: self._edited(event.new), "edits")
        self.param.watch(lambda *_: self._show(), "value")
        self.param.watch(lambda *_: self._colour(), "theme")
        self._show()
        self._colour()

    def __panel__(self) -> pn.Column:
        return self._layout

    def change(self, **values: Any) -> None:
        """Set some settings at once; SettingsError if one is not allowed."""
        self.value = type(self.value)(**self.value.to_dict() | values)

    def reset(self, name: str = "") -> None:
        """Give one setting, or all that are shown, their defaults."""
        self.fields.errors = {n: e for n, e in self.fields.errors.items() if name and n != name}
        defaults = {n: self.value.param[n].default for n in ([name] if name else self._names)}
        self.change(**defaults)
        self._show()

    def load(self, text: str) -> None:
        """Take settings from JSON; a refusal is said beside the buttons and changes nothing."""
        try:
            value = type(self.value).from_json(text)
        except SettingsError as error:
            self._say(said_of(error, type(self.value)), is_bad=True)
            return
        self.fields.errors = {}
        self.value = value
        self._show()
        self._say("The settings are those of the JSON.")

    def _edited(self, edits: Sequence[dict[str, Any]]) -> None:
        for edit in edits:
            if edit["count"] > self.fields.answered:
                self.fields.answered = edit["count"]
                self._do(edit)

    def _do(self, edit: dict[str, Any]) -> None:
        self._say("")
        if "set" in edit:
            self._set(edit["set"], edit["value"])
        elif "reset" in edit:
            self.reset(edit["reset"])
        elif "json" in edit:
            self.load(edit["json"])
        elif "save" in edit:
            self._save()

    def _set(self, name: str, value: Any) -> None:
        if value is None:
            self._refuse(name, value, "A value is needed.")
            return
        declared = self.value.param[name]
        if isinstance(declared, param.Integer) and float(value).is_integer():
            value = int(value)
        try:
            self.change(**{name: value})
        except SettingsError as error:
            self._refuse(name, value, said_of(error, type(self.value)))
        else:
            self.fields.errors = {n: e for n, e in self.fields.errors.items() if n != name}
            self._show()

    def _refuse(self, name: str, value: Any, why: str) -> None:
        self.fields.errors = {**self.fields.errors, name: {"value": value, "why": why}}

    def _save(self) -> None:
        if self.fields.errors:
            self._say("Not saved: a field holds a value that is refused.", is_bad=True)
            return
        try:
            self._on_save(self.value)
        except GoodmanError as error:
            self._say(str(error), is_bad=True)
        else:
            self._say("Saved.")

    def _say(self, text: str, *, is_bad: bool = False) -> None:
        self.fields.param.update(message=text, is_bad=is_bad)

    def _show(self) -> None:
        values = {name: getattr(self.value, name) for name in self._names}
        self.fields.param.update(values=values, json=self.value.to_json())

    def _colour(self) -> None:
        self._layout.stylesheets = [alone_css(self.theme)]
