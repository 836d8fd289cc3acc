// Heat maps.

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
