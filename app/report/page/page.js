// Draws the report: reads the document that lies in the page, writes its texts and tables, and has Vega-Lite draw the
// charts. Colours are CSS variables throughout, so that a change between light and dark needs no chart drawn again.
"use strict";

(() => {
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

  // Texts among the children become text nodes: no text of a report is ever read as HTML.
  function make(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes ?? {})) {
      if (value !== undefined && value !== null) node.setAttribute(name, value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  }

  function makeSvg(tag, attributes, ...children) {
    const node = document.createElementNS(SVG_NAMESPACE, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  }

  const distinct = (values) => [...new Set(values)];
  const given = (value) => value !== undefined && value !== null;
  const finite = (value) => typeof value === "number" && Number.isFinite(value);
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
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

  function planLines(block) {
    const styles = seriesStyles(block);
    const rows = drawableLines(block);
    const [xLog, yLog] = [Boolean(block.x?.log), Boolean(block.y?.log)];
    const floor = yLog ? logBandFloor(rows) : -Infinity;
    const xs = rows.map((row) => row.x);
    const ys = rows.flatMap((row) => [row.y, row.low === null ? null : Math.max(row.low, floor), row.high]);
    let xDomain = (xLog ? logDomain : linearDomain)(xs, false);
    let yDomain = (yLog ? logDomain : linearDomain)(ys, false);
    if (block.diagonal) xDomain = yDomain = diagonalDomain([...xs, ...ys], [...xDomain, ...yDomain]);
    for (const row of rows) if (row.low !== null && row.low <= floor) row.low = yDomain[0];

    const rowNames = distinct(rows.map((row) => row.row).filter(given));
    const columnNames = distinct(rows.map((row) => row.column).filter(given));
    const panels = [];
    for (const rowName of rowNames.length ? rowNames : [undefined]) {
      for (const columnName of columnNames.length ? columnNames : [undefined]) {
        const members = rows.filter(
          (row) => (row.row ?? undefined) === rowName && (row.column ?? undefined) === columnName,
        );
        if (members.length === 0) continue;
        markDots(members);
        panels.push({
          title: panelTitle([[block.row_title, rowName], [block.column_title, columnName]]),
          draw: (width) => lineSpecification(block, styles, members, width, { xDomain, yDomain, xs, ys, xLog, yLog }),
        });
      }
    }
    return {
      legend: seriesLegend(block, styles, "both"),
      columns: facetColumns(block, rowNames, columnNames),
      panels,
      numbers: lineNumbers(block),
    };
  }

  function lineSpecification(block, styles, rows, width, { xDomain, yDomain, xs, ys, xLog, yLog }) {
    const height = block.diagonal ? clamp(width * 0.75, 200, 420) : clamp(width * 0.5, 190, 360);
    const x = quantity("x", block.x?.title, xDomain, xLog, xs, {
      tickCount: clamp(Math.floor(width / 80), 3, 10),
      labelFlush: LABEL_ROOM,
    });
    const y = quantity("y", block.y?.title, yDomain, yLog, ys, { minExtent: 34 });
    const colour = seriesChannel(styles, "colour");
    const described = [
      ...(styles.has("") ? [] : [{ field: "series", type: "nominal", title: block.series_title || "series" }]),
      { field: "x", type: "quantitative", title: block.x?.title || "x", format: "~g" },
      { field: "y", type: "quantitative", title: block.y?.title || "y", format: ".4~g" },
    ];
    const layers = [];
    if (block.diagonal) {
      layers.push({
        name: "reference",
        data: { values: [{ x: xDomain[0], y: yDomain[0] }, { x: xDomain[1], y: yDomain[1] }] },
        mark: { type: "line", stroke: "var(--quiet)", strokeDash: [4, 4], strokeWidth: 1.25 },
        encoding: { x, y },
      });
    }
    if (rows.some((row) => row.high !== null)) {
      const range = { x, y: { ...y, field: "low" }, y2: { field: "high" }, color: colour };
      layers.push({ transform: [{ filter: "!datum.single" }], mark: { type: "area", opacity: 0.18 }, encoding: range });
      // One point makes no band: its range is a bar.
      layers.push({
        transform: [{ filter: "datum.single && isValid(datum.high)" }],
        mark: { type: "rule", strokeWidth: 2 },
        encoding: range,
      });
    }
    layers.push({
      mark: { type: "line", strokeWidth: 2, strokeJoin: "round" },
      encoding: { x, y, color: colour, strokeDash: seriesChannel(styles, "dash") },
    });
    layers.push({
      transform: [{ filter: "datum.dot" }],
      mark: { type: "point", filled: true, opacity: 1, size: width < 320 ? 28 : 42 },
      encoding: { x, y, color: colour, shape: seriesChannel(styles, "shape"), tooltip: described },
    });
    return specification(block, width, height, { data: { values: rows }, layer: layers });
  }

  function lineNumbers(block) {
    const has = (field) => block.rows.some((row) => given(row[field]));
    return [
      ...(has("row") ? [[block.row_title || "row", "row"]] : []),
      ...(has("column") ? [[block.column_title || "column", "column"]] : []),
      ...(has("series") ? [[block.series_title || "series", "series"]] : []),
      [block.x?.title || "x", "x"],
      [block.y?.title || "y", "y"],
      ...(has("low") ? [["low", "low"]] : []),
      ...(has("high") ? [["high", "high"]] : []),
    ];
  }

  function planIntervals(block) {
    const styles = seriesStyles(block);
    const names = distinct(block.rows.map((row) => String(row.name)));
    const lanes = laneOffsets(block.rows);
    const values = block.rows.flatMap((row) => [row.mean, row.low, row.high]);
    const domain = linearDomain(block.zero ? [...values, 0] : values, false);
    const has = (field) => block.rows.some((row) => given(row[field]));
    return {
      legend: seriesLegend(block, styles, "point"),
      columns: 1,
      panels: [{ title: "", draw: (width) => intervalSpecification(block, styles, names, lanes, domain, values, width) }],
      numbers: [
        ["", "name"],
        ...(has("series") ? [[block.series_title || "series", "series"]] : []),
        [block.x?.title || "mean", "mean"],
        ...(has("low") ? [["low", "low"], ["high", "high"]] : []),
        ...(has("note") ? [["note", "note"]] : []),
      ],
    };
  }

  // Rows of one name lie below each other, centred on the name.
  function laneOffsets(rows) {
    const groups = groupBy(rows, (row) => String(row.name));
    const most = Math.max(...[...groups.values()].map((group) => group.length));
    const pitch = most > 1 ? 13 : 0;
    const offsets = new Map();
    for (const group of groups.values()) {
      group.forEach((row, i) => offsets.set(row, (i - (group.length - 1) / 2) * pitch));
    }
    return { offsets, height: most * pitch + (most > 1 ? 12 : 26) };
  }

  function intervalSpecification(block, styles, names, lanes, domain, values, width) {
    // Long names would leave no room beside them on a phone: there each stands above its whiskers.
    const above = widest(names) > width * 0.38;
    const step = lanes.height + (above ? 17 : 0);
    const rows = block.rows.map((row) => ({
      name: String(row.name),
      series: seriesOf(row),
      mean: finite(row.mean) ? row.mean : null,
      low: finite(row.low) ? row.low : null,
      high: finite(row.high) ? row.high : null,
      // Positions are in pixels, since the lanes of a name depend on how many rows it has.
      position: names.indexOf(String(row.name)) * step + step / 2 + lanes.offsets.get(row) + (above ? 8 : 0),
    }));
    const height = names.length * step;
    const x = {
      ...quantity("mean", block.x?.title, domain, false, values, {
        tickCount: clamp(Math.floor(width / 90), 3, 9),
        labelFlush: LABEL_ROOM,
        orient: "bottom",
      }),
    };
    const pixels = { type: "linear", domain: [0, height], range: [0, height], nice: false, zero: false };
    const y = { field: "position", type: "quantitative", scale: pixels, axis: null };
    const nameAxis = {
      title: null,
      domain: false,
      ticks: false,
      grid: true,
      tickBand: "extent",
      labelLimit: above ? width - 16 : 400,
      labelOverlap: false,
      zindex: 1, // before the line at zero, which may run through a name on a phone
      ...(above
        ? { labelAlign: "left", labelPadding: -2, labelOffset: -step / 2 + 13, minExtent: 0, maxExtent: 0 }
        : { labelPadding: 10 }),
    };
    const described = [
      { field: "name", type: "nominal", title: "name" },
      ...(styles.has("") ? [] : [{ field: "series", type: "nominal", title: block.series_title || "series" }]),
      { field: "mean", type: "quantitative", title: block.x?.title || "mean", format: ".5~g" },
      ...(rows.some((row) => row.low !== null)
        ? [
            { field: "low", type: "quantitative", title: "low", format: ".5~g" },
            { field: "high", type: "quantitative", title: "high", format: ".5~g" },
          ]
        : []),
    ];
    const colour = seriesChannel(styles, "colour");
    const layers = [
      {
        // Invisible; it is there for its axis, which writes the names.
        name: "reference_names",
        data: { values: names.map((name) => ({ name })) },
        mark: { type: "rule", opacity: 0 },
        encoding: {
          y: { field: "name", type: "nominal", sort: null, scale: { domain: names, padding: 0 }, axis: nameAxis },
        },
      },
      ...(block.zero
        ? [
            {
              name: "reference_zero",
              data: { values: [{}] },
              mark: { type: "rule", stroke: "var(--quiet)", strokeWidth: 1.25 },
              encoding: { x: { ...x, field: undefined, datum: 0 } },
            },
          ]
        : []),
      {
        transform: [{ filter: "isValid(datum.low) && isValid(datum.high)" }],
        mark: { type: "rule", strokeWidth: 2 },
        encoding: { x: { ...x, field: "low" }, x2: { field: "high" }, y, color: colour },
      },
      {
        mark: { type: "point", filled: true, opacity: 1, size: 58 },
        encoding: { x, y, color: colour, shape: seriesChannel(styles, "shape"), tooltip: described },
      },
    ];
    return specification(block, width, height, {
      data: { values: rows },
      layer: layers,
      resolve: { scale: { y: "independent" }, axis: { y: "independent" } },
    });
  }

  function planHistograms(block) {
    const styles = seriesStyles(block);
    const groups = groupBy(block.rows, (row) => String(row.panel ?? ""));
    const has = (field) => block.rows.some((row) => given(row[field]));
    return {
      legend: seriesLegend(block, styles, "line"),
      columns: fewColumns(groups.size),
      panels: [...groups].map(([title, rows]) => ({
        title,
        draw: (width) => histogramSpecification(block, styles, rows, width),
      })),
      numbers: [
        ...(has("panel") ? [["panel", "panel"]] : []),
        ...(has("series") ? [[block.series_title || "series", "series"]] : []),
        ["from", "from"],
        ["to", "to"],
        ["count", "count"],
      ],
    };
  }

  // The corners of the outline of one series, from the ground over the bins to the ground; bins that are left out
  // count nothing.
  function outline(series, bins) {
    const sorted = bins.filter((bin) => finite(bin.from) && finite(bin.to)).sort((a, b) => a.from - b.from);
    const corners = [];
    const add = (x, y) => corners.push({ series, x, y, order: corners.length });
    sorted.forEach((bin, i) => {
      const before = sorted[i - 1];
      const touches = before && Math.abs(before.to - bin.from) <= 1e-6 * Math.abs(bin.to - bin.from);
      if (!touches) {
        if (before) add(before.to, 0);
        add(bin.from, 0);
      }
      add(bin.from, bin.count ?? 0);
      add(bin.to, bin.count ?? 0);
    });
    if (sorted.length > 0) add(sorted[sorted.length - 1].to, 0);
    return corners;
  }

  function histogramSpecification(block, styles, rows, width) {
    const corners = [...groupBy(rows, seriesOf)].flatMap(([series, bins]) => outline(series, bins));
    const xs = corners.map((corner) => corner.x);
    const ys = corners.map((corner) => corner.y);
    const x = quantity("x", block.x?.title, extent(xs) ?? [0, 1], false, xs, {
      tickCount: clamp(Math.floor(width / 70), 3, 9),
      labelFlush: LABEL_ROOM,
      grid: false,
    });
    const y = quantity("y", "count", linearDomain(ys, true), false, ys, { minExtent: 34, format: "~s" });
    return specification(block, width, clamp(width * 0.55, 150, 260), {
      data: { values: corners },
      mark: { type: "line", strokeWidth: 1.75, fillOpacity: 0.1 },
      encoding: {
        x,
        y,
        stroke: seriesChannel(styles, "colour"),
        fill: seriesChannel(styles, "colour"),
        strokeDash: seriesChannel(styles, "dash"),
        order: { field: "order", type: "quantitative" },
      },
    });
  }

  function planHeatmap(block) {
    const groups = groupBy(block.rows, (row) => String(row.panel ?? ""));
    const common = extent(block.rows.map((row) => row.value)) ?? [0, 1];
    const mostColumns = Math.max(0, ...[...groups.values()].map((rows) => new Set(rows.map((row) => row.x)).size));
    const strength = block.labels ? LABELLED_STRENGTH : 1;
    const percent = `${strength * 100}%`;
    const one = `linear-gradient(to right, transparent, color-mix(in srgb, var(--cell) ${percent}, transparent))`;
    const two =
      `linear-gradient(to right, color-mix(in srgb, var(--cell) ${percent}, transparent), transparent, ` +
      `color-mix(in srgb, var(--negative) ${percent}, transparent))`;
    const has = (field) => block.rows.some((row) => given(row[field]));
    return {
      legend: block.diverging ? null : rampLegend(common[0], common[1], one),
      columns: mostColumns > 80 ? 1 : fewColumns(groups.size),
      panels: [...groups].map(([title, rows]) => {
        const most = Math.max(...(extent(rows.map((row) => row.value)) ?? [0, 1]).map(Math.abs)) || 1;
        const colouring = block.diverging
          ? (value) => ({ negative: value > 0, share: Math.abs(value) / most })
          : (value) => ({ negative: false, share: (value - common[0]) / (common[1] - common[0] || 1) });
        return {
          title,
          legend: block.diverging ? rampLegend(-most, most, two) : null,
          draw: (width, view) => heatmapSpecification(block, rows, colouring, strength, width, view),
        };
      }),
      numbers: [
        ...(has("panel") ? [["panel", "panel"]] : []),
        [block.y?.title || "y", "y"],
        [block.x?.title || "x", "x"],
        ["value", "value"],
      ],
    };
  }

  const cellText = (value) => (!finite(value) ? "" : numberText(value, Math.abs(value) < 1 ? 2 : 3));

  function heatmapSpecification(block, rows, colouring, strength, width, view) {
    const xNames = distinct(rows.map((row) => String(row.x)));
    const yNames = distinct(rows.map((row) => String(row.y)));
    const yLabels = Math.min(Math.ceil(widest(yNames)) + 8, Math.floor(width * 0.4));
    const aside = yLabels + (block.y?.title ? 24 : 4);
    const room = width - aside - 6;
    const labels = Boolean(block.labels);
    const texts = rows.map((row) => cellText(row.value));
    const least = labels ? widest(texts, 9) + 5 : 0;
    const cell = Math.max(least, Math.min(labels ? Math.max(46, widest(texts, 12) + 12) : 40, room / xNames.length));
    const plotWidth = Math.floor(cell * xNames.length);
    // Very many columns make slivers: the rows then keep a height that can be seen.
    const cellHeight = cell < 6 ? clamp((width * 0.4) / yNames.length, cell, 14) : Math.min(cell, 46);
    // Cells that cannot hold their numbers at this width are reached by scrolling.
    view.classList.toggle("scroll", plotWidth > room + 1);

    const cells = rows.map((row, i) => {
      const { negative, share } = finite(row.value) ? colouring(row.value) : { negative: false, share: 0 };
      return {
        x: String(row.x),
        y: String(row.y),
        value: row.value,
        text: texts[i],
        fill: negative ? "var(--negative)" : "var(--cell)",
        share: share * strength,
      };
    });
    const nominal = (field, names, title, axis) => ({
      field,
      type: "nominal",
      title: title || null,
      sort: null,
      scale: { domain: names, padding: 0 },
      axis: { domain: false, ticks: false, grid: false, ...axis },
    });
    const x = nominal("x", xNames, block.x?.title, thinnedAxis(xNames, cell, widest(xNames)));
    const y = nominal("y", yNames, block.y?.title, {
      ...thinnedAxis(yNames, cellHeight, 12),
      minExtent: yLabels,
      maxExtent: yLabels,
      labelLimit: yLabels - 6,
    });
    const size = cell >= 12 && cellHeight >= 12;
    const layers = [
      {
        mark: { type: "rect", stroke: size ? "var(--grid)" : null, strokeWidth: size ? 1 : 0 },
        encoding: {
          fill: { field: "fill", type: "nominal", scale: null },
          fillOpacity: { field: "share", type: "quantitative", scale: null, legend: null },
          tooltip: [
            { field: "y", type: "nominal", title: block.y?.title || "y" },
            { field: "x", type: "nominal", title: block.x?.title || "x" },
            { field: "value", type: "quantitative", title: "value", format: ".5~g" },
          ],
        },
      },
    ];
    if (labels) {
      const fontSize = clamp(Math.floor((cell / (widest(texts, 10) + 3)) * 10), 9, 12);
      layers.push({
        mark: { type: "text", fill: "var(--ink)", fontSize },
        encoding: { text: { field: "text", type: "nominal" } },
      });
    }
    return specification(block, plotWidth, Math.round(cellHeight * yNames.length), {
      autosize: "pad",
      data: { values: cells },
      encoding: { x, y },
      layer: layers,
    });
  }

  // All names where they fit, else every second, fifth, tenth…
  function thinnedAxis(names, pitch, needed) {
    const words = names.some((name) => !Number.isFinite(Number(name)));
    if (words && needed + 6 > pitch && pitch >= 12) return { labelAngle: -45, labelAlign: "right", labelOverlap: false };
    const every = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].find((step) => step * pitch >= needed + 6) ?? names.length;
    return { labelAngle: 0, labelOverlap: false, values: names.filter((_, i) => i % every === 0) };
  }

  const planners = { lines: planLines, intervals: planIntervals, histograms: planHistograms, heatmap: planHeatmap };

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
      tiles.push({ canvas, tile, bytes: Uint8Array.from(atob(tile.pixels), (letter) => letter.charCodeAt(0)) });
      list.append(make("li", null, canvas, caption));
    }
    return figure(block, list);
  }

  // The colour of a CSS variable as three numbers, as a canvas tells it.
  function colourOf(variable) {
    const canvas = make("canvas", { width: 1, height: 1 });
    const context = canvas.getContext("2d");
    context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(variable);
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
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

  function writeFacts(facts) {
    const list = make("dl", null, ...facts.flatMap(([name, value]) => [make("dt", null, name), make("dd", null, value)]));
    const section = make("section", { id: "made" }, make("h2", null, "How this was made"), list);
    document.getElementById("facts").append(section);
  }

  function main() {
    const report = JSON.parse(document.getElementById("report-data").textContent);
    document.title = report.title ?? document.title;
    const sections = report.sections ?? [];
    const facts = report.facts ?? [];
    writeHeader(report);
    writeContents([...sections, ...(facts.length ? [{ id: "made", title: "How this was made" }] : [])]);
    sections.forEach(writeSection);
    if (facts.length) writeFacts(facts);
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
})();
