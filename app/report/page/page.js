// Draws the report: reads the document that lies in the page, writes its texts and tables, and has Vega-Lite draw the
// charts. Colours are CSS variables throughout, so that a change between light and dark needs no chart drawn again.
// CMake joins the files of this folder into one function, so that none of their names is seen by the libraries.

// Drawing: one view after the other, so that the page answers while many are drawn.

const views = [];
let drawing = false;

function addView(node, draw) {
  views.push({ node, draw, width: 0, result: null });
  observer.observe(node);
}

async function drawView(view) {
  view.width = view.node.clientWidth;
  try {
    const old = view.result;
    // The old drawing keeps its place until the new one stands, or the page would jump.
    const specification = view.draw(view.width, view.node);
    view.node.style.minHeight = `${view.node.clientHeight}px`;
    old?.finalize();
    view.result = await vegaEmbed(view.node, specification, {
      mode: "vega-lite",
      renderer: "svg",
      actions: false,
      defaultStyle: false,
      tooltip: { disableDefaultStyle: true },
    });
  } catch (error) {
    console.error(error);
    view.node.replaceChildren(make("p", { class: "fault" }, `This chart could not be drawn: ${error.message}`));
  }
  view.node.style.minHeight = "";
}

const stale = (view) => view.node.clientWidth > 0 && view.node.clientWidth !== view.width;

async function drawStaleViews() {
  if (drawing || document.documentElement.dataset.drawn === "failed") return;
  drawing = true;
  document.documentElement.dataset.drawn = "no";
  for (let view = views.find(stale); view; view = views.find(stale)) {
    await drawView(view);
    await new Promise((resume) => setTimeout(resume));
  }
  drawing = false;
  document.documentElement.dataset.drawn = "yes";
}

let waiting = 0;
const observer = new ResizeObserver(() => {
  clearTimeout(waiting);
  waiting = setTimeout(drawStaleViews, 120);
});

// Figures.

function figure(block, ...parts) {
  const caption = make("figcaption", null, make("h3", null, block.title ?? ""));
  if (block.see) caption.append(make("p", { class: "see" }, block.see));
  return make("figure", { id: block.id, class: block.type }, caption, ...parts);
}

function chartFigure(block) {
  const plan = planners[block.type](block);
  const panels = make("div", { class: "panels" });
  panels.style.setProperty("--columns", plan.columns);
  for (const panel of plan.panels) {
    const view = make("div", { class: "view" });
    const title = panel.title ? make("p", { class: "panel-title" }, panel.title) : null;
    panels.append(make("div", { class: "panel" }, title, view, panel.legend));
    addView(view, panel.draw);
  }
  if (plan.panels.length === 0) panels.append(make("p", { class: "fault" }, "There are no numbers for this chart."));
  return figure(block, plan.legend, panels, numbersTable(block, plan.numbers));
}

// Filled only when it is opened: the numbers of all charts together are many elements.
function numbersTable(block, columns) {
  const details = make("details", { class: "numbers" }, make("summary", null, "Numbers as a table"));
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) fillNumbers(details, block, columns);
  });
  return details;
}

function fillNumbers(details, block, columns) {
  const numeric = ([, field]) => block.rows.every((row) => !given(row[field]) || typeof row[field] === "number");
  const aligned = columns.map((column) => (numeric(column) ? "right" : null));
  const head = columns.map(([title], i) => make("th", { scope: "col", class: aligned[i] }, title));
  const body = block.rows.slice(0, NUMBER_ROWS_SHOWN).map((row) =>
    make("tr", null, ...columns.map(([, field], i) => make("td", { class: aligned[i] }, numberText(row[field])))),
  );
  if (block.rows.length > NUMBER_ROWS_SHOWN) {
    details.append(make("p", null, `The first ${NUMBER_ROWS_SHOWN} of ${block.rows.length} rows.`));
  }
  details.append(scrolling(tableOf(head, body)));
}

function tableOf(head, body) {
  return make("table", null, make("thead", null, make("tr", null, ...head)), make("tbody", null, ...body));
}

// Reachable by keyboard, or those without a mouse could not scroll it.
function scrolling(table) {
  return make("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Table" }, table);
}

function tableFigure(block) {
  const extents = gradeExtents(block);
  const head = block.columns.map((column) => make("th", { scope: "col", class: alignment(column) }, column.title ?? ""));
  const body = block.rows.map((row) =>
    make("tr", null, ...row.map((cell, i) => tableCell(cell, block.columns[i] ?? {}, extents[i]))),
  );
  return figure(block, scrolling(tableOf(head, body)));
}

const alignment = (column) => (column.align === "right" ? "right" : null);

function gradeExtents(block) {
  const columnValues = block.columns.map((column, i) => (column.grade ? block.rows.map((row) => row[i]?.value) : []));
  if (block.grade === "table") return block.columns.map(() => extent(columnValues.flat()));
  return columnValues.map(extent);
}

function tableCell(cell, column, range) {
  const text = typeof cell === "object" && cell !== null ? cell.text : cell;
  const node = make("td", { class: alignment(column) }, given(text) ? String(text) : "");
  if (column.grade && range && finite(cell?.value)) {
    node.classList.add("graded");
    node.style.setProperty("--grade", ((cell.value - range[0]) / (range[1] - range[0] || 1)).toFixed(3));
  }
  return node;
}

// Pixel tiles.

const tiles = [];

function imagesFigure(block) {
  const list = make("ul", { class: "tiles" });
  for (const tile of block.tiles) {
    const canvas = make("canvas", {
      width: tile.columns,
      height: tile.rows,
      role: "img",
      "aria-label": tile.caption,
    });
    const caption = tile.caption ? make("span", { "aria-hidden": "true" }, tile.caption) : null;
    tiles.push({ canvas, tile, bytes: bytesOf(tile.pixels) });
    list.append(make("li", null, canvas, caption));
  }
  return figure(block, list);
}

// 0 is the ground and 255 the ink; in a diverging tile 128 is the ground, as in the charts of weights.
function paintTiles() {
  const [ground, ink, low, high] = ["--card", "--ink", "--cell", "--negative"].map(colourOf);
  for (const { canvas, tile, bytes } of tiles) {
    const context = canvas.getContext("2d");
    const image = context.createImageData(tile.columns, tile.rows);
    for (let i = 0; i < tile.rows * tile.columns; ++i) {
      const share = tile.diverging ? clamp((bytes[i] - 128) / 127, -1, 1) : bytes[i] / 255;
      const end = !tile.diverging ? ink : share < 0 ? low : high;
      for (let part = 0; part < 3; ++part) {
        image.data[4 * i + part] = ground[part] + (end[part] - ground[part]) * Math.abs(share);
      }
      image.data[4 * i + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  }
}

// The page.

function blockFigure(block) {
  if (block.type === "table") return tableFigure(block);
  if (block.type === "images") return imagesFigure(block);
  if (planners[block.type]) return chartFigure(block);
  throw new Error(`The report holds a block of the unknown type ${block.type}`);
}

function writeHeader(report) {
  const header = document.getElementById("top");
  header.append(make("h1", null, report.title ?? ""));
  if (report.subtitle) header.append(make("p", { class: "subtitle" }, report.subtitle));
  if (report.headlines?.length) {
    header.append(make("ul", { class: "headlines" }, ...report.headlines.map((line) => make("li", null, line))));
  }
}

// To files beside the report, whatever their names have in them.
function writeLinks(links) {
  for (const { text, path } of links) {
    const href = path.split("/").map(encodeURIComponent).join("/");
    document.getElementById("top").append(make("p", null, make("a", { href }, text)));
  }
}

function writeContents(sections) {
  const links = sections.map(({ id, title }) => make("li", null, make("a", { href: `#${id}` }, title)));
  document.getElementById("contents").append(make("ol", null, ...links));
}

function writeSection(section) {
  const node = make("section", { id: section.id }, make("h2", null, section.title ?? ""));
  node.append(...(section.text ?? []).map((sentence) => make("p", null, sentence)));
  document.getElementById("report").append(node);
  for (const block of section.blocks ?? []) node.append(blockFigure(block));
}

function main() {
  const report = JSON.parse(document.getElementById("report-data").textContent);
  document.title = report.title ?? document.title;
  const sections = report.sections ?? [];
  const facts = report.facts ?? [];
  writeHeader(report);
  writeLinks(report.links ?? []);
  writeContents([...sections, ...(facts.length ? [{ id: "made", title: "How this was made" }] : [])]);
  sections.forEach(writeSection);
  if (facts.length) document.getElementById("facts").append(factsSection(facts));
  paintTiles();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paintTiles);
  if (views.length === 0) document.documentElement.dataset.drawn = "yes";
}

try {
  main();
} catch (error) {
  // A reader who sees half a page must be told so.
  document.getElementById("top").append(make("p", { class: "fault" }, `The report cannot be shown: ${error.message}`));
  document.documentElement.dataset.drawn = "failed";
  console.error(error);
}
