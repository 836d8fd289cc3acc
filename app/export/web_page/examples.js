// Images of the test set, to choose with the mouse or the arrow keys.

// A zero stands for as many of them as the next byte says.
function unpacked(bytes, length) {
  const all = new Uint8Array(length);
  let place = 0;
  for (let i = 0; i < bytes.length; ++i) {
    if (bytes[i] === 0) place += bytes[++i];
    else all[place++] = bytes[i];
  }
  return all;
}

function readExamples(network) {
  const { pixels, labels, names } = network.examples;
  const size = network.rows * network.columns;
  const all = unpacked(bytesOf(pixels), size * labels.length);
  return labels.map((label, i) => {
    const own = all.subarray(i * size, (i + 1) * size);
    return { pixels: own, name: names[i], truth: label, read: bestOf(run(network, own).probabilities) };
  });
}

// One of them is chosen at a time, of both groups together.
class Examples {
  constructor(network, choose) {
    this.network = network;
    this.choose = choose;
    this.list = readExamples(network);
    this.buttons = [];
    this.chosen = null;
  }

  // A group of those from `begin` to `end`, below a heading.
  fill(section, title, text, begin, end) {
    if (begin === end) return section.remove();
    const group = make("div", { role: "radiogroup", "aria-label": title, class: "examples" });
    for (let i = begin; i < end; ++i) group.append(this.button(i, i === begin, () => [begin, end]));
    return section.append(make("h2", null, title), make("p", { class: "hint" }, text), group);
  }

  button(i, first, range) {
    const { rows, columns, classes } = this.network;
    const { name, truth, read } = this.list[i];
    const right = truth === read;
    const label = `${name}: ${classes[truth]}${right ? "" : `, read as ${classes[read]}`}`;
    const canvas = make("canvas", { class: "pixels", width: columns, height: rows, "aria-hidden": "true" });
    const caption = make("span", { "aria-hidden": "true" }, right ? classes[truth] : `${classes[truth]} → ${classes[read]}`);
    const button = make("button", { type: "button", role: "radio", "aria-checked": "false", "aria-label": label }, canvas, caption);
    button.title = name;
    button.tabIndex = first ? 0 : -1;
    button.addEventListener("click", () => this.select(i, range()));
    button.addEventListener("keydown", (event) => this.move(event, i, range()));
    this.buttons[i] = button;
    return button;
  }

  move(event, i, [begin, end]) {
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    const count = end - begin;
    let next = begin + ((i - begin + (steps[event.key] ?? 0) + count) % count);
    if (event.key === "Home") next = begin;
    if (event.key === "End") next = end - 1;
    if (!(event.key in steps) && event.key !== "Home" && event.key !== "End") return;
    event.preventDefault();
    this.select(next, [begin, end]);
    this.buttons[next].focus();
  }

  select(i, [begin, end]) {
    this.release();
    for (let other = begin; other < end; ++other) this.buttons[other].tabIndex = other === i ? 0 : -1;
    this.buttons[i].setAttribute("aria-checked", "true");
    this.chosen = i;
    this.choose(this.list[i]);
  }

  release() {
    if (this.chosen !== null) this.buttons[this.chosen].setAttribute("aria-checked", "false");
    this.chosen = null;
  }

  repaint() {
    this.buttons.forEach((button, i) => paintPixels(button.querySelector("canvas"), this.list[i].pixels));
  }
}
