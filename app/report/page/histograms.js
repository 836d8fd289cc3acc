// Histograms, one outline per series.

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
