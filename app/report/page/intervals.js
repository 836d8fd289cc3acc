// Means with their intervals, a row each.

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
