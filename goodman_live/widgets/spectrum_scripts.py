"""What a spectrum's figure does in the page without asking the kernel."""

READ_SPECTRUM = """
const {x, flux, sigma, bad} = source.data;
fig.__goodman_x = cb_obj.x;
if (x == null || x.length === 0) { readout.text = ''; return; }
let low = 0, high = x.length - 1;
while (high - low > 1) { const middle = (low + high) >> 1;
    if (x[middle] < cb_obj.x) low = middle; else high = middle; }
const i = Math.abs(x[low] - cb_obj.x) < Math.abs(x[high] - cb_obj.x) ? low : high;
const digits = (value) => Number(value.toPrecision(5));
readout.text = `λ ${x[i].toFixed(2)} Å   flux ${digits(flux[i])}` +
  (sigma[i] > 0 ? ` ± ${Number(sigma[i].toPrecision(3))}` : '') +
  ['', '   masked', '   partly mended'][bad[i]];
"""

READ_NOTHING = "readout.text = ''; fig.__goodman_x = null;"

SEND_RANGE = """
const {geometry, final} = cb_obj;
if (final && geometry.type === 'rect' && geometry.x1 !== geometry.x0)
  chosen.data = {x: [Math.min(geometry.x0, geometry.x1), Math.max(geometry.x0, geometry.x1)]};
"""

SAVE_PICTURE = """
export default ({fig}, source, data, {index}) => {
  const view = index.get_one(fig);
  view.export('png').to_blob().then((blob) => {
    const link = document.createElement('a');
    link.download = source.data.name[0]; link.href = URL.createObjectURL(blob);
    link.click(); setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
};
"""
