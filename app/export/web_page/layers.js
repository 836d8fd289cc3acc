// Draws what each layer gives: a cell for each unit.

const CELLS = [[40, 22], [160, 14], [1024, 9], [Infinity, 5]]; // up to so many units, pixels of a cell

const signed = (value) => String(Number(value.toPrecision(3))).replace("-", "−");

let palette = null; // read anew where the page turns light or dark

function readPalette() {
  const [zero, above, below, ink] = ["--grid", "--cell", "--negative", "--ink"].map(colourOf);
  palette = { zero, above, below, ink };
}

const cssColour = (parts) => `rgb(${parts.join(" ")})`;

// share: −1 to 1.
function colourOfShare(share) {
  const { zero, above, below } = palette;
  const end = share < 0 ? below : above;
  return zero.map((part, i) => Math.round(part + (end[i] - part) * Math.abs(share)));
}

// The units of one layer.
class Units {
  constructor(name, count) {
    this.name = name;
    this.count = count;
    this.values = null;
    this.canvas = make("canvas", { role: "img", width: 1, height: 1 });
    this.readout = make("span", { class: "readout" });
    this.holder = make("div", { class: "units" }, this.canvas);
    this.node = make("li", null, make("span", { class: "layer" }, name), this.holder, this.readout);
    this.canvas.addEventListener("pointermove", (event) => this.tellUnit(event));
    this.canvas.addEventListener("pointerleave", () => this.tell());
  }

  // As many cells side by side as there is room for.
  fit() {
    const wanted = CELLS.find(([most]) => this.count <= most)[1];
    const room = this.holder.clientWidth;
    const density = window.devicePixelRatio || 1;
    if (room === 0 || (room === this.room && density === this.density)) return;
    [this.room, this.density] = [room, density];
    this.cell = Math.min(wanted, Math.max(4, Math.floor(room / Math.min(this.count, 10))));
    const rows = Math.ceil(this.count / Math.max(1, Math.floor(room / this.cell)));
    this.columns = Math.ceil(this.count / rows); // of which none is much shorter than the others
    this.canvas.width = Math.round(this.columns * this.cell * density);
    this.canvas.height = Math.round(rows * this.cell * density);
    this.canvas.style.width = `${this.columns * this.cell}px`;
    this.canvas.style.height = `${rows * this.cell}px`;
    this.paint();
  }

  show(values) {
    this.values = values;
    this.paint();
    this.tell();
  }

  paint() {
    if (!this.columns) return;
    const context = this.canvas.getContext("2d");
    const size = this.canvas.width / this.columns;
    const gap = Math.max(1, size * 0.08);
    const largest = this.values ? this.values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-12) : 1;
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    for (let i = 0; i < this.count; ++i) {
      const share = this.values ? this.values[i] / largest : 0;
      context.fillStyle = cssColour(colourOfShare(share));
      context.fillRect((i % this.columns) * size, Math.floor(i / this.columns) * size, size - gap, size - gap);
    }
  }

  tell() {
    if (!this.values) {
      this.readout.textContent = this.count === 1 ? "1 unit" : `${this.count} units`;
      this.canvas.setAttribute("aria-label", `${this.name}: nothing yet`);
      return;
    }
    const farthest = this.values.reduce((far, v, i) => (Math.abs(v) > Math.abs(this.values[far]) ? i : far), 0);
    const active = this.values.filter((value) => value !== 0).length;
    this.readout.textContent = `unit ${farthest}: ${signed(this.values[farthest])}`;
    const label = `${this.name}: ${active} of ${this.count} units are not 0; farthest is ${this.readout.textContent}`;
    this.canvas.setAttribute("aria-label", label);
  }

  tellUnit(event) {
    if (!this.values) return;
    const column = Math.floor(event.offsetX / this.cell);
    const unit = Math.floor(event.offsetY / this.cell) * this.columns + column;
    if (column < this.columns && unit < this.count) this.readout.textContent = `unit ${unit}: ${signed(this.values[unit])}`;
  }
}

// Bytes as ink on the ground of the page, or nothing for null.
function paintPixels(canvas, pixels) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  for (let i = 0; i < canvas.width * canvas.height; ++i) {
    image.data.set(palette.ink, 4 * i);
    image.data[4 * i + 3] = pixels ? pixels[i] : 0;
  }
  context.putImageData(image, 0, 0);
}

// All layers, the picture that goes in first.
class Layers {
  constructor(network, node) {
    this.seen = make("canvas", { class: "pixels", role: "img", width: network.columns, height: network.rows });
    this.seen.setAttribute("aria-label", "What the network sees");
    const name = network.deskew ? "what it sees, set upright" : "what it sees";
    node.append(make("li", null, make("span", { class: "layer" }, name), make("div", { class: "units" }, this.seen)));
    let number = 0;
    this.units = network.layers.map((layer) => {
      if (layer.kind === "linear") ++number;
      const last = layer === network.layers[network.layers.length - 1];
      const units = new Units(`layer ${number}, ${last ? "logits" : layer.kind}`, layer.outputs);
      node.append(units.node);
      return units;
    });
    // Not at once: what is fitted changes the height of what is observed.
    const fit = () => this.units.forEach((units) => units.fit());
    new ResizeObserver(() => requestAnimationFrame(fit)).observe(node);
  }

  // result: of run(), or null.
  show(result) {
    this.pixels = result ? result.seen : null;
    paintPixels(this.seen, this.pixels);
    this.units.forEach((units, i) => units.show(result ? result.activations[i] : null));
  }

  repaint() {
    readPalette();
    paintPixels(this.seen, this.pixels);
    this.units.forEach((units) => units.paint());
  }
}
