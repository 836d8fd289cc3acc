// What all charts share.

const axisColours = {
  domainColor: "var(--quiet)",
  tickColor: "var(--quiet)",
  gridColor: "var(--grid)",
  labelColor: "var(--ink)",
  titleColor: "var(--quiet)",
};

function config() {
  return {
    font: FONT,
    background: null,
    view: { stroke: null },
    mark: { aria: false }, // who listens to the page is better served by the table of numbers
    axis: {
      ...axisColours,
      labelFontSize: 12,
      titleFontSize: 12,
      titleFontWeight: 600,
      titlePadding: 8,
      labelPadding: 5,
      tickSize: 4,
      labelOverlap: true,
    },
  };
}

function specification(block, width, height, parts) {
  return {
    width,
    height,
    autosize: { type: "fit-x", contains: "padding" },
    padding: 2,
    description: [block.title, block.see].filter(given).join(". "),
    config: config(),
    ...parts,
  };
}

function linearDomain(values, zero) {
  const [low, high] = extent(zero ? [...values, 0] : values) ?? [0, 1];
  const margin = (high - low) * 0.04 || Math.abs(high) * 0.1 || 1;
  return [low === 0 && zero ? 0 : low - margin, high === 0 && zero ? 0 : high + margin];
}

function logDomain(values) {
  const [low, high] = extent(values.filter((value) => value > 0)) ?? [1, 10];
  const margin = Math.max(1.05, (high / low) ** 0.04);
  return [low / margin, high * margin];
}

// A logarithmic axis that spans less than two powers of ten has few round numbers on it: such an axis gets the
// numbers that occur, where they are few, or those that begin with 1, 2 or 5.
function logTicks(domain, values) {
  const present = distinct(values.filter((value) => value > 0)).sort((a, b) => a - b);
  if (present.length <= 8) return present;
  const [from, to] = domain.map(Math.log10);
  const starts = to - from < 3 ? [1, 2, 5] : [1];
  const step = Math.max(1, Math.ceil((to - from) / 8));
  const ticks = [];
  for (let power = Math.floor(from); power <= Math.ceil(to); power += step) {
    for (const start of starts) ticks.push(Number(`${start}e${power}`));
  }
  return ticks.filter((tick) => tick >= domain[0] && tick <= domain[1]);
}

function quantityAxis(domain, log, values) {
  if (!log) return { format: undefined, tickCount: 5 };
  const axis = { values: logTicks(domain, values) };
  const small = axis.values.some((tick) => tick < 1e-4 || tick >= 1e6);
  return { ...axis, format: small ? ".0e" : ".3~r", gridOpacity: 1 };
}

function quantity(field, title, domain, log, values, axis) {
  return {
    field,
    type: "quantitative",
    title: title || null,
    scale: { type: log ? "log" : "linear", domain, nice: false, ...(log ? {} : { zero: false }) },
    axis: { ...quantityAxis(domain, log, values), ...axis },
  };
}

// Each planner turns a block into { legend, columns, panels: [{ title, legend, draw(width) }], numbers }, where draw
// gives the specification for a width. A panel is a chart of its own, so that the page can lay the panels out.

function facetColumns(block, rowNames, columnNames) {
  if (rowNames.length <= 1 || columnNames.length <= 1) return fewColumns(Math.max(rowNames.length, columnNames.length, 1));
  // What belongs in one row stays in one row, or ends with a full one.
  const count = columnNames.length;
  if (count <= 5) return count;
  return count % 3 === 0 ? 3 : 4;
}

const fewColumns = (count) => (count === 4 ? 2 : Math.min(3, count));

function panelTitle(parts) {
  const said = parts.filter(([, value]) => given(value));
  return said.map(([what, value]) => (what ? `${what} = ${value}` : String(value))).join(", ");
}

// Copies of the rows that can be drawn: what a logarithmic axis cannot show becomes a gap or is left out.
function drawableLines(block) {
  const [xLog, yLog] = [Boolean(block.x?.log), Boolean(block.y?.log)];
  const shows = (value, log) => finite(value) && (!log || value > 0);
  return block.rows
    .filter((row) => shows(row.x, xLog))
    .map((row) => {
      const band = finite(row.low) && shows(row.high, yLog);
      return {
        x: row.x,
        y: shows(row.y, yLog) ? row.y : null,
        low: band ? row.low : null,
        high: band ? row.high : null,
        series: seriesOf(row),
        row: row.row,
        column: row.column,
      };
    });
}

// Both axes alike; shares get the whole range from 0 to 1.
function diagonalDomain(values, limits) {
  const [low, high] = extent(values) ?? [0, 1];
  return low >= 0 && high <= 1 ? [0, 1] : extent(limits);
}

// A lower end at or below zero would pull a logarithmic axis down without end: the band then ends at the edge.
function logBandFloor(rows) {
  const least = extent(rows.map((row) => row.y))?.[0] ?? extent(rows.map((row) => row.high))?.[0] ?? 1;
  return least / 10;
}

// Marks the points to be seen as dots: those of sparse lines, and any that stands alone between gaps.
function markDots(rows) {
  const lines = groupBy(rows, (row) => row.series);
  for (const line of lines.values()) {
    line.sort((a, b) => a.x - b.x);
    line.forEach((row, i) => {
      const alone = !finite(line[i - 1]?.y) && !finite(line[i + 1]?.y);
      row.dot = finite(row.y) && (alone || line.length <= POINTS_UP_TO);
      row.single = line.length === 1;
    });
  }
  return rows;
}

function groupBy(rows, key) {
  const groups = new Map();
  for (const row of rows) {
    const name = key(row);
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(row);
  }
  return groups;
}
