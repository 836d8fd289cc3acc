// Prints tables of a report as Markdown: page_tables.mjs REPORT.html TITLE…
import { readFileSync } from "node:fs";

const [file, ...titles] = process.argv.slice(2);
if (!file || titles.length === 0) {
  console.error("usage: page_tables.mjs REPORT.html TITLE…");
  process.exit(2);
}
const page = readFileSync(file, "utf8");
const [, json] = page.match(/<script[^>]*id="report-data"[^>]*>([^]*?)<\/script>/) ?? [];
if (!json) {
  console.error(`${file}: is no report`);
  process.exit(1);
}
const tables = JSON.parse(json)
  .sections.flatMap((section) => section.blocks)
  .filter((block) => block.type === "table");
const text = (cell) => (cell === null ? "" : (cell.text ?? cell));
const line = (cells) => `| ${cells.map(text).join(" | ")} |`;

for (const title of titles) {
  const table = tables.find((block) => block.title === title);
  if (!table) {
    console.error(`${file}: has no table ${title}; the titles are ${tables.map((block) => block.title).join("; ")}`);
    process.exit(1);
  }
  console.log(`**${title}**\n`);
  console.log(line(table.columns.map((column) => column.title)));
  console.log(line(table.columns.map((column) => (column.align === "right" ? "---:" : "---"))));
  for (const row of table.rows) console.log(line(row));
  console.log();
}
