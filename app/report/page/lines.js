// Lines over steps or epochs.

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
