// What the scripts of all pages share.

// Texts among the children become text nodes: no text of the program is ever read as HTML.
function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== undefined && value !== null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

// The colour of a CSS variable as three numbers, as a canvas tells it.
function colourOf(variable) {
  const canvas = make("canvas", { width: 1, height: 1 });
  const context = canvas.getContext("2d");
  context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(variable);
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
}

// Names and values, as a section.
function factsSection(facts) {
  const list = make("dl", null, ...facts.flatMap(([name, value]) => [make("dt", null, name), make("dd", null, value)]));
  return make("section", { id: "made" }, make("h2", null, "How this was made"), list);
}
