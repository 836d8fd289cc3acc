// What all parts of the page share: numbers as text, elements, series and their legends.

const NUMBER_ROWS_SHOWN = 400;
const POINTS_UP_TO = 40; // a line with more points than this shows no dots
const SERIES_COLOURS = 7;
const LABEL_ROOM = 16; // pixels from the end of an axis within which a label is moved inwards, lest it be cut off
const LABELLED_STRENGTH = 0.42; // keeps a cell pale enough for the text in it
const FONT = getComputedStyle(document.body).fontFamily;
const SVG_NAMESPACE = "http://www.w3.org/2000/svg";

// In the unit square from -1 to 1, which is what Vega expects of a shape.
const SHAPES = [
  "M1,0A1,1,0,1,1,-1,0A1,1,0,1,1,1,0Z",
  "M-0.9,-0.9H0.9V0.9H-0.9Z",
  "M0,-1.1L1.05,0.8H-1.05Z",
  "M0,-1.25L1.25,0L0,1.25L-1.25,0Z",
  "M-0.4,-1.1H0.4V-0.4H1.1V0.4H0.4V1.1H-0.4V0.4H-1.1V-0.4H-0.4Z",
  "M0,1.1L1.05,-0.8H-1.05Z",
  "M-1.1,-0.6H1.1V0.6H-1.1Z",
];
const DIAMOND = SHAPES[3];
const PUBLISHED = "published"; // the series whose rows are single numbers of other people
const DASHES = [[1, 0], [6, 3], [2, 2]];

// Small helpers.

function makeSvg(tag, attributes, ...children) {
  const node = document.createElementNS(SVG_NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const distinct = (values) => [...new Set(values)];
const given = (value) => value !== undefined && value !== null;
const finite = (value) => typeof value === "number" && Number.isFinite(value);
const sum = (values) => values.reduce((total, value) => total + value, 0);

function extent(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (!finite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : null;
}

// A true minus, and no digits that only say how binary fractions end.
function numberText(value, digits = 5) {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value !== "number") return String(value);
  const whole = Number.isInteger(value) && Math.abs(value) < 1e15;
  return String(whole ? value : Number(value.toPrecision(digits))).replace(/-/g, "−");
}

const measureText = (() => {
  const context = document.createElement("canvas").getContext("2d");
  return (text, size = 12) => {
    context.font = `${size}px ${FONT}`;
    return context.measureText(text).width;
  };
})();

const widest = (texts, size) => Math.max(0, ...texts.map((text) => measureText(text, size)));

// Series: each has one colour, shape and dash throughout its block.

function seriesStyles(block) {
  const names = distinct(block.rows.map((row) => row.series).filter(given)).map(String);
  const styles = new Map();
  let ordinal = 0;
  for (const name of names) {
    if (name === PUBLISHED && block.type === "intervals") {
      styles.set(name, { colour: "var(--ink)", shape: DIAMOND, dash: DASHES[0] });
    } else {
      styles.set(name, {
        colour: `var(--series-${(ordinal % SERIES_COLOURS) + 1})`,
        shape: SHAPES[ordinal % SERIES_COLOURS],
        dash: DASHES[Math.floor(ordinal / SERIES_COLOURS) % DASHES.length],
      });
      ++ordinal;
    }
  }
  if (names.length === 0) styles.set("", { colour: "var(--series-1)", shape: SHAPES[0], dash: DASHES[0] });
  return styles;
}

const seriesOf = (row) => (given(row.series) ? String(row.series) : "");

function seriesScale(styles, what) {
  return { domain: [...styles.keys()], range: [...styles.values()].map((style) => style[what]) };
}

function seriesChannel(styles, what) {
  return { field: "series", type: "nominal", legend: null, scale: seriesScale(styles, what) };
}

function swatch(style, kind) {
  const drawing = makeSvg("svg", { width: 26, height: 14, viewBox: "-13 -7 26 14", "aria-hidden": "true" });
  if (kind !== "point") {
    const line = makeSvg("path", { d: "M-13,0H13", "stroke-width": 2, "stroke-dasharray": style.dash.join(" ") });
    line.style.stroke = style.colour;
    drawing.append(line);
  }
  if (kind !== "line") {
    const point = makeSvg("path", { d: style.shape, transform: "scale(4)" });
    point.style.fill = style.colour;
    drawing.append(point);
  }
  return drawing;
}

function seriesLegend(block, styles, kind) {
  if (styles.has("")) return null;
  const items = [...styles].map(([name, style]) => make("li", null, swatch(style, kind), name));
  if (block.series_title) items.unshift(make("li", { class: "what" }, block.series_title));
  return make("ul", { class: "legend" }, ...items);
}

function rampLegend(low, high, gradient) {
  const bar = make("span", { class: "ramp" });
  bar.style.background = gradient;
  return make("div", { class: "legend" }, make("span", null, numberText(low, 3), bar, numberText(high, 3)));
}
