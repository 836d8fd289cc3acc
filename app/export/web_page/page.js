// The page: strokes become pixels, pixels go through the network, and what it says is shown.

const LONGEST_SIDE = 560; // of the drawing, in its own pixels
const STROKE = 0.085; // of the shorter side
const BARS_IN_A_COLUMN = 12;

const element = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)} %`;

// What is drawn on. Ink is the opacity, so that it is the same in light and dark.
class Pad {
  // prepare: of prepare.js, from the drawing to the pixels of an image.
  constructor(canvas, { rows, columns }, prepare, changed) {
    const scale = LONGEST_SIDE / Math.max(rows, columns);
    this.canvas = canvas;
    this.canvas.width = Math.max(1, Math.round(scale * columns));
    this.canvas.height = Math.max(1, Math.round(scale * rows));
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.shape = { rows, columns };
    this.prepare = prepare;
    this.changed = changed;
    this.strokes = [];
    this.image = null; // shown in place of strokes
    this.pointer = null;
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.go(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => this.end(event));
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [
      ((event.clientX - box.left) / box.width) * this.canvas.width,
      ((event.clientY - box.top) / box.height) * this.canvas.height,
    ];
  }

  begin(event) {
    if (event.button !== 0 || this.pointer !== null) return;
    event.preventDefault();
    this.pointer = event.pointerId;
    this.canvas.setPointerCapture(event.pointerId);
    this.image = null;
    this.strokes.push([this.place(event)]);
    this.paint();
    this.changed(false);
  }

  go(event) {
    if (event.pointerId !== this.pointer) return;
    const events = event.getCoalescedEvents?.() ?? [];
    const stroke = this.strokes[this.strokes.length - 1];
    for (const part of events.length > 0 ? events : [event]) stroke.push(this.place(part));
    this.paint();
    this.changed(false);
  }

  end(event) {
    if (event.pointerId !== this.pointer) return;
    this.pointer = null;
    this.changed(true);
  }

  undo() {
    this.pointer = null;
    this.strokes.pop();
    this.paint();
  }

  // pixels of an image, or null.
  clear(pixels = null) {
    this.pointer = null;
    this.strokes = [];
    this.image = pixels;
    this.paint();
  }

  paint() {
    const { context, canvas } = this;
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (this.image) {
      const small = make("canvas", { width: this.shape.columns, height: this.shape.rows });
      paintPixels(small, this.image);
      context.imageSmoothingEnabled = false;
      context.drawImage(small, 0, 0, canvas.width, canvas.height);
    }
    context.strokeStyle = cssColour(palette.ink);
    context.lineWidth = STROKE * Math.min(canvas.width, canvas.height);
    context.lineCap = "round";
    context.lineJoin = "round";
    for (const stroke of this.strokes) {
      context.beginPath();
      context.moveTo(...stroke[0]);
      for (const point of stroke) context.lineTo(...point);
      context.stroke();
    }
  }

  // What the network gets of it; null where nothing is drawn.
  pixels() {
    if (this.image) return this.image;
    const { width, height } = this.canvas;
    const { data } = this.context.getImageData(0, 0, width, height);
    const ink = Uint8Array.from({ length: width * height }, (_, i) => data[4 * i + 3]);
    return this.prepare(ink, width, height, this.shape.rows, this.shape.columns);
  }
}

// The best class, and a bar for each.
class Answer {
  constructor(classes) {
    this.classes = classes;
    this.rows = classes.map((name) => {
      const [bar, value] = [make("span", { class: "bar" }), make("span", { class: "value" })];
      return { bar, value, node: make("li", null, make("span", { class: "class" }, name), make("span", { class: "track" }, bar), value) };
    });
    const bars = element("bars");
    bars.append(...this.rows.map(({ node }) => node));
    bars.classList.toggle("many", classes.length > BARS_IN_A_COLUMN);
  }

  show(probabilities, example) {
    const best = probabilities ? bestOf(probabilities) : -1;
    element("best").textContent = best < 0 ? "–" : this.classes[best];
    element("certainty").textContent = best < 0 ? "nothing drawn yet" : percent(probabilities[best]) + this.truth(best, example);
    this.rows.forEach(({ bar, value, node }, i) => {
      const share = probabilities ? probabilities[i] : 0;
      bar.style.width = `${100 * share}%`;
      value.textContent = probabilities ? percent(share) : "";
      node.classList.toggle("best", i === best);
    });
  }

  // For those who do not see the bars; said when a stroke has ended.
  speak(probabilities, example) {
    const best = probabilities ? bestOf(probabilities) : -1;
    const text = best < 0 ? "Cleared." : `Read as ${this.classes[best]}, ${percent(probabilities[best])}${this.truth(best, example)}.`;
    element("spoken").textContent = text;
  }

  truth(best, example) {
    if (!example) return "";
    return example.truth === best ? `, right: ${example.name}` : `, but ${example.name} is ${this.classes[example.truth]}`;
  }
}

class Page {
  constructor(network) {
    this.network = network;
    this.example = null;
    this.layers = new Layers(network, element("layers"));
    this.answer = new Answer(network.classes);
    this.examples = new Examples(network, (example) => this.choose(example));
    const prepare = takesWholePictures(network) ? scaledWhole : prepared;
    this.pad = new Pad(element("pad"), network, prepare, (ended) => this.drawn(ended));
    this.waiting = false;
    element("clear").addEventListener("click", () => this.clear());
    element("undo").addEventListener("click", () => this.undo());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" || event.key === "Delete") this.clear();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.repaint());
    this.repaint();
    this.update(false);
  }

  repaint() {
    this.layers.repaint();
    this.examples.repaint();
    this.pad.paint();
  }

  update(speaks) {
    const pixels = this.pad.pixels();
    const result = pixels ? run(this.network, pixels) : null;
    this.layers.show(result);
    this.answer.show(result?.probabilities, this.example);
    if (speaks) this.answer.speak(result?.probabilities, this.example);
  }

  // At most once for each picture that the screen shows.
  drawn(ended) {
    this.example = null;
    this.examples.release();
    if (ended) this.update(true);
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.update(false);
    });
  }

  choose(example) {
    this.example = example;
    this.pad.clear(example.pixels);
    this.update(true);
  }

  undo() {
    this.pad.undo();
    this.update(true);
  }

  clear() {
    this.example = null;
    this.examples.release();
    this.pad.clear();
    this.update(true);
  }
}

const isOfDigits = (classes) => classes.length === 10 && classes.every((name, i) => name === String(i));

// As `handgrad predict` scales the pictures that it is given for such a network, without cutting anything out.
const takesWholePictures = ({ metadata }) => metadata.pictures !== undefined;

function writeTexts(network) {
  const thing = isOfDigits(network.classes) ? "digit" : "image";
  const { metadata } = network;
  const accuracy = metadata.test_accuracy === undefined ? "" : `; it is right on ${(100 * metadata.test_accuracy).toFixed(2)} % of its test images`;
  document.title = `Draw: ${metadata.architecture}`;
  element("title").textContent = thing === "digit" ? "Draw a digit" : "Draw";
  element("about").textContent = `The network ${metadata.architecture}${network.deskew ? ", on deskewed images" : ""}${accuracy}. It runs in this page, offline.`;
  element("pad").setAttribute("aria-label", "Field to draw on with mouse, pen or finger. Without one, choose images below.");
  const preparation = takesWholePictures(network)
    ? "The whole field is scaled to the size of the network's images."
    : `What you draw is cut out, scaled and centred as the ${thing}s of the test set were.`;
  element("hint").textContent = `With mouse, pen or finger. ${preparation} Esc clears.`;
}

function writeExamples(page) {
  const { examples } = page.network;
  const count = examples.labels.length;
  const shown = count - examples.samples;
  const rate = `It gets ${examples.wrong} of ${examples.count} test images wrong.`;
  const which = shown < examples.wrong ? ` Here are ${shown}, those first of which it is surest.` : " The first is that of which it is surest.";
  page.examples.fill(element("samples"), "Images of the test set", "Choose one, with the arrow keys too.", 0, examples.samples);
  page.examples.fill(element("mistakes"), "Mistakes", `${rate}${which} Beneath each: what it is → what it was read as.`, examples.samples, count);
}

// What is known of the training, as the settings' names have it.
function settingsText(text) {
  try {
    return Object.entries(JSON.parse(text)).map(([name, value]) => `${name} ${value}`).join(", ");
  } catch {
    return text;
  }
}

function factsOf({ metadata }) {
  const titles = { architecture: "network", test_accuracy: "test accuracy", training_config: "settings", batch_norm_folded: "batch norm folded" };
  return Object.entries(metadata).map(([key, value]) => [titles[key] ?? key, key === "training_config" ? settingsText(value) : value]);
}

try {
  const network = readNetwork(JSON.parse(element("model").textContent));
  writeTexts(network);
  const page = new Page(network);
  writeExamples(page);
  page.repaint();
  element("facts").append(factsSection(factsOf(network)));
} catch (error) {
  // A reader who sees half a page must be told so.
  element("top").append(make("p", { class: "fault" }, `The page cannot be shown: ${error.message}`));
  console.error(error);
}
