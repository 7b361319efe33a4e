"""What an image's figure does in the page without asking the kernel."""

SEND_VIEW = """
const fig = cb_obj.origin ?? cb_obj;
clearTimeout(fig.__goodman_settle);
fig.__goodman_settle = setTimeout(() => {
  if (!(fig.inner_width > 0)) return;
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  view.data = {x: [fig.x_range.start, fig.x_range.end], y: [fig.y_range.start, fig.y_range.end],
                size: [Math.round(fig.inner_width * ratio), Math.round(fig.inner_height * ratio)]};
}, 120);
"""

SEND_TAP = "tap.data = {at: [cb_obj.x, cb_obj.y]};"

# The pixel at the cursor, and its wavelength.
READ_PIXEL = """
const data = source.data;
const image = data.image[0];
if (image == null) return;
const [n_rows, n_columns] = image.shape;
const step_x = data.dw[0] / n_columns, step_y = data.dh[0] / n_rows;
const column = Math.floor((cb_obj.x - data.x[0]) / step_x);
const row = Math.floor((cb_obj.y - data.y[0]) / step_y);
if (column < 0 || row < 0 || column >= n_columns || row >= n_rows) { readout.text = ''; return; }
const value = image[row * n_columns + column];
const wavelength = scale.data.wavelength;
const place = Math.min(Math.max(cb_obj.x, 0), wavelength.length - 1), left = Math.floor(place);
const here = wavelength.length < 2 ? null : wavelength[left] + (place - left) *
  ((wavelength[left + 1] ?? wavelength[left]) - wavelength[left]);
readout.text = `x ${Math.round(cb_obj.x)}   y ${Math.round(cb_obj.y)}   ` +
  `${Number.isFinite(value) ? Number(value.toPrecision(6)) : 'no data'} ${data.unit[0]}` +
  (Number.isFinite(here) ? `   λ ${here.toFixed(1)} Å` : '') +
  (step_x * step_y > 1.01 ? `   (mean of ${(step_x * step_y).toFixed(1)} px)` : '');
"""

# The row and the column through the cursor, at the resolution of the screen.
CUT = """
const data = source.data, image = data.image[0];
if (image == null || !along.tags.length) return;
const [n_rows, n_columns] = image.shape;
const step_x = data.dw[0] / n_columns, step_y = data.dh[0] / n_rows;
const j = Math.floor((cb_obj.x - data.x[0]) / step_x);
const i = Math.floor((cb_obj.y - data.y[0]) / step_y);
if (j < 0 || i < 0 || j >= n_columns || i >= n_rows) return;
const cut = (n, from, step, at, range) => {
  const place = new Float64Array(n), light = new Float32Array(n);
  let low = Infinity, high = -Infinity;
  for (let k = 0; k < n; k++) {
    place[k] = from + (k + 0.5) * step; light[k] = at(k);
    if (light[k] < low) low = light[k];
    if (light[k] > high) high = light[k];
  }
  const pad = 0.05 * (high - low) || 1;
  if (high >= low) range.setv({start: low - pad, end: high + pad});
  return [place, light];
};
const [x, in_row] = cut(n_columns, data.x[0], step_x, (k) => image[i * n_columns + k],
  row.y_range);
const [y, in_column] = cut(n_rows, data.y[0], step_y, (k) => image[k * n_columns + j],
  column.x_range);
along.data = {x, y: in_row};
across.data = {x: in_column, y};
"""

CLEAR = "readout.text = ''; cb_obj.origin.__goodman_at = null;"

# Keys count while the cursor is over the image and nobody is typing. They are heard before any
# other listener of the page: JupyterLab has meanings of its own for them.
KEYS = """
const fig = cb_obj.origin;
fig.__goodman_at = [cb_obj.x, cb_obj.y];
if (fig.__goodman_keys) return;
let count = 0;
const pressed = (event) => {
  if (asked.document == null) { window.removeEventListener('keydown', pressed, true); return; }
  if (fig.__goodman_at == null || event.ctrlKey || event.metaKey || event.altKey) return;
  const from = event.composedPath()[0];
  if (from.isContentEditable || ['INPUT', 'SELECT', 'TEXTAREA'].includes(from.tagName)) return;
  if (!['a', 'r', 'l', 'c', 'j', 'k', 'Escape'].includes(event.key)) return;
  event.preventDefault(); event.stopImmediatePropagation();
  asked.data = {at: [fig.__goodman_at], key: [event.key], count: [++count]};
};
fig.__goodman_keys = pressed;
window.addEventListener('keydown', pressed, true);
"""
