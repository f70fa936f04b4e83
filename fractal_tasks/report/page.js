"use strict";
// The map is drawn first. All else is packed in the page, and follows.

const element = id => document.getElementById(id);
const model = name => Bokeh.documents.map(one => one.get_model_by_name(name)).find(Boolean);
const acquisition = () => Number(document.querySelector("#acquisitions input:checked").value);

let rois; // columns by name
const places = new Map(); // from well and acquisition to their rows
const key = (well, number) => `${number} ${well}`;

async function unpack(id) {
  const bytes = Uint8Array.from(atob(element(id).textContent), one => one.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

function runScript(text) {
  const script = document.createElement("script");
  script.textContent = text;
  document.body.append(script);
}

async function waitFor(condition) {
  while (!condition()) await new Promise(requestAnimationFrame);
}
const areDrawn = count => () => window.Bokeh && Bokeh.documents.length == count
  && Bokeh.documents.every(one => one.is_idle);

async function drawPage() {
  await waitFor(areDrawn(1));
  colourCharts();
  for (const input of document.querySelectorAll("#acquisitions input"))
    input.addEventListener("change", () => { showMap(); showWell(); });
  element("quantity").addEventListener("change", showMap);
  document.body.dataset.drawn = "map";
  rois = JSON.parse(await unpack("packed-rois"));
  for (const name in rois)
    if (rois[name].includes(null)) rois[name] = rois[name].map(value => value ?? NaN);
  rois.well.forEach((well, row) => {
    const place = key(well, rois.acquisition[row]);
    if (places.has(place)) places.get(place).push(row);
    else places.set(place, [row]);
  });
  runScript(await unpack("packed-library"));
  runScript(await unpack("packed-charts"));
  await waitFor(areDrawn(2));
  colourCharts();
  element("well-choice").addEventListener("change", showWell);
  for (const id of ["filter", "status"]) element(id).addEventListener("input", filterRows);
  element("save").addEventListener("click", saveRows);
  model("table_rows").data = Object.fromEntries(
    Object.entries(rois).filter(([name]) => !name.startsWith("drawn_")));
  filterRows();
  showWell();
  await waitFor(areDrawn(2));
  document.body.dataset.drawn = "all";
}

// Plate.

function showMap() {
  const {scales, palettes} = JSON.parse(element("scales").textContent);
  const [label, low, high, palette] = scales[element("quantity").value];
  const mapper = model("mapper"), wells = model("wells");
  mapper.setv({palette: palettes[palette], low, high});
  const squares = model("squares");
  squares.glyph.fill_color = {...squares.glyph.fill_color, field: element("quantity").value};
  model("bar").title = label;
  for (const arrow of ["arrow_0", "arrow_1", "arrow_2"])
    model(arrow).visible = element("quantity").value == "shift";
  const chosen = acquisition();
  model("on_map").indices = [...wells.data.acquisition.keys()]
    .filter(row => wells.data.acquisition[row] == chosen);
}

function openTapped() {
  const wells = model("wells"), [row] = wells.selected.indices;
  if (row === undefined) return;
  element("well-choice").value = wells.data.well[row];
  if (rois) showWell();
  element("well").scrollIntoView({behavior: "smooth"});
}

// Well.

const MOST_ARROWS = 400, MOST_NAMES = 60;

function showWell() {
  const rows = places.get(key(element("well-choice").value, acquisition())) ?? [];
  const pick = (name, from = rows) => from.map(row => rois[name]?.[row] ?? NaN);
  const words = name => rows.map(row => rois[name][row] || "");
  const [x, y, width, height] = ["x", "y", "width", "height"].map(name => pick(`drawn_${name}`));
  const room = Math.min(...width.concat(height).filter(size => size > 0));
  const names = rows.length > MOST_NAMES ? rows.map(() => "") : words("roi");
  const stack = pick("shift_z_um");
  const fields = {
    x, y, width, height, top: y.map((centre, i) => centre - height[i] / 2), roi: words("roi"), status: words("status"), reason: words("reason"),
    name: names.map((name, i) => name && !isNaN(stack[i]) ? `${name}\nz ${stack[i].toFixed(1)} µm` : name),
    measured_y: pick("drawn_measured_y"), measured_x: pick("drawn_measured_x"),
  };
  for (const name of ["shift_z_um", "shift_y_um", "shift_x_um", "error_z_um", "error_px", "confidence", "left_px", "kept"])
    fields[name] = pick(name);
  model("fields").data = fields;
  const notes = [`Shown: ${element("well-choice").value}, acquisition ${acquisition()}.`];
  const step = Math.ceil(rows.length / MOST_ARROWS);
  // Spread over all, whatever their order; there is more room for fewer.
  const some = rows.filter((_, i) => i * 0.6180339887 % 1 < 1 / step);
  const free = room * Math.sqrt(step);
  const times = magnify(some, free, ["shift_y_um", "shift_x_um"]);
  model("used").data = arrows(some, times, free, ["shift_y_um", "shift_x_um"]);
  model("measured").data = arrows(some, times, free, ["drawn_measured_y", "drawn_measured_x"]);
  if (times != 1) notes.push(`Arrows are ${say(times)} times as long as shifts.`);
  if (step > 1) notes.push(`One ROI in ${step} has an arrow.`);
  const bent = bends(rows, room);
  model("bends").data = bent.lines;
  if (bent.times) notes.push(`Grids show what turns and bends, ${say(bent.times)} times as large.`);
  element("well-note").textContent = notes.join(" ");
}

// 1, 2 or 5 times a power of ten.
function roundDown(times) {
  const power = 10 ** Math.floor(Math.log10(times));
  return power * (times / power >= 5 ? 5 : times / power >= 2 ? 2 : 1);
}
const say = times => String(Number(times.toPrecision(1)));

function magnify(rows, room, [y, x]) {
  const lengths = rows.map(row => Math.hypot(rois[y]?.[row], rois[x]?.[row])).filter(one => one > 0);
  return lengths.length ? roundDown(0.4 * room / Math.max(...lengths)) : 1;
}

// Of an estimate that is not used, the arrow ends beyond its ROI: it may lead anywhere.
function arrows(rows, times, room, [y, x]) {
  const found = {x: [], y: [], to_x: [], to_y: []};
  for (const row of rows) {
    const away = [rois[y]?.[row] * times, rois[x]?.[row] * times];
    const length = Math.hypot(...away);
    if (!(length >= 0)) continue;
    const part = Math.min(1, 0.8 * room / length) || 1;
    found.x.push(rois.drawn_x[row]);
    found.y.push(rois.drawn_y[row]);
    found.to_x.push(rois.drawn_x[row] + part * away[1]);
    found.to_y.push(rois.drawn_y[row] + part * away[0]);
  }
  return found;
}

const GRID = 5;

function bends(rows, room) {
  const bent = rows.filter(row => Array.isArray(rois.drawn_bend?.[row]));
  const largest = Math.max(0, ...bent.flatMap(row => rois.drawn_bend[row].map(Math.abs)));
  const times = largest > 0 ? roundDown(0.1 * room / largest) : 0;
  const lines = {xs: [], ys: []};
  for (const row of times ? bent : []) {
    const values = rois.drawn_bend[row], count = Math.sqrt(values.length / 2);
    const node = (i, j, axis) => values[2 * (i * count + j) + axis];
    // Between nodes it is linear.
    const moved = (v, u, axis) => {
      const i = Math.min(Math.floor(v * (count - 1)), count - 2), j = Math.min(Math.floor(u * (count - 1)), count - 2);
      const a = v * (count - 1) - i, b = u * (count - 1) - j;
      return (1 - a) * ((1 - b) * node(i, j, axis) + b * node(i, j + 1, axis))
        + a * ((1 - b) * node(i + 1, j, axis) + b * node(i + 1, j + 1, axis));
    };
    const steps = [...Array(GRID).keys()].map(one => one / (GRID - 1));
    const place = (v, u) => [
      rois.drawn_y[row] + (v - 0.5) * rois.drawn_height[row] + times * moved(v, u, 0),
      rois.drawn_x[row] + (u - 0.5) * rois.drawn_width[row] + times * moved(v, u, 1)];
    for (const one of steps)
      for (const line of [steps.map(other => place(one, other)), steps.map(other => place(other, one))]) {
        lines.ys.push(line.map(point => point[0]));
        lines.xs.push(line.map(point => point[1]));
      }
  }
  return {times, lines};
}

// Table.

function filterRows() {
  const words = element("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const status = element("status").value;
  const found = rois.roi.map((roi, row) => {
    if (status != "all" && rois.status[row] != status) return false;
    const text = [rois.well[row], rois.acquisition[row], roi, rois.reason[row]].join(" ").toLowerCase();
    return words.every(word => text.includes(word));
  });
  model("found").booleans = found;
  element("count").textContent = `${found.filter(Boolean).length} of ${found.length} ROIs`;
}

function saveRows() {
  const names = JSON.parse(element("scales").textContent).saved;
  const quote = value => {
    const text = value === undefined || value !== value ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const lines = [names.join(",")];
  for (const row of rois.roi.keys()) lines.push(names.map(name => quote(rois[name]?.[row])).join(","));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], {type: "text/csv"}));
  link.download = "registration.csv";
  link.click();
  URL.revokeObjectURL(link.href);
}

// Charts are canvases: their words do not follow the colours of the page.

const schemes = ["(prefers-color-scheme: dark)", "print"].map(one => window.matchMedia(one));

function colourCharts() {
  const style = getComputedStyle(document.documentElement);
  const [ink, line] = ["--ink", "--line"].map(name => style.getPropertyValue(name).trim());
  const colours = {
    axis_label_text_color: ink, major_label_text_color: ink, label_text_color: ink,
    title_text_color: ink, text_color: ink,
    axis_line_color: line, major_tick_line_color: line, minor_tick_line_color: line, grid_line_color: line,
  };
  for (const shown of Bokeh.documents) for (const one of shown._all_models.values())
    for (const name in colours)
      if (name in one.properties && one[name] !== null) one[name] = colours[name];
}

if (element("packed-rois")) {
  for (const scheme of schemes)
    scheme.addEventListener("change", () => window.Bokeh && colourCharts());
  drawPage();
}
for (const input of document.querySelectorAll("#view input"))
  input.addEventListener("change", () => { element("overlays").dataset.view = input.value; });
