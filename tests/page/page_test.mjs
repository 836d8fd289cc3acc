// Tests a report in a browser: page_test.mjs REPORT.html SCREENSHOT_DIRECTORY [CHROMIUM]
// Prints one line per fault and exits with 1 if there is any.
import { join } from "node:path";
import { drawn, openReport } from "./browser.mjs";
import { SCHEMES, WIDTHS, checkPage, faintTexts, listenTo } from "./checks.mjs";

// Runs inside the page and returns what is wrong with it, in words.
function faultsOfPage() {
  const faults = [];
  const named = (node) => {
    const figure = node.closest("figure");
    return figure?.id || figure?.querySelector("h3")?.textContent || node.tagName.toLowerCase();
  };
  const shown = (text) => JSON.stringify(text.trim().slice(0, 40));

  const isDrawn = (mark) => {
    const box = mark.getBoundingClientRect();
    const style = getComputedStyle(mark);
    const inked = style.fill !== "none" || style.stroke !== "none" || mark.tagName === "image";
    // A straight line has no height, so it is the sum that counts.
    return inked && mark.checkVisibility({ opacityProperty: true }) && box.width + box.height > 1;
  };
  const charts = [...document.querySelectorAll("figure")].filter((figure) => figure.querySelector(".panels"));
  for (const chart of charts) {
    const containers = [...chart.querySelectorAll(".view")];
    if (containers.length === 0) faults.push(`${named(chart)}: a chart without any panel`);
    containers.forEach((view, i) => {
      // The line at zero and the diagonal are there without any data, and do not count.
      const layers = "svg .role-mark:not(.mark-text, [class*=reference])";
      const marks = [...view.querySelectorAll(`${layers} :is(path, line, rect, image)`)];
      if (!marks.some(isDrawn)) faults.push(`${named(chart)}: panel ${i + 1} has no drawn marks`);
    });
    if (!chart.querySelector("details table tbody tr")) faults.push(`${named(chart)}: no table of numbers`);
  }
  for (const figure of document.querySelectorAll("figure")) {
    if (!figure.querySelector(".see")?.textContent.trim()) {
      faults.push(`${named(figure)}: no sentence that says what to see`);
    }
    if (!figure.querySelector("svg, canvas, img, table")) faults.push(`${named(figure)}: an empty figure`);
  }

  for (const section of document.querySelectorAll("section")) {
    if (!section.querySelector("p, figure, dl")) faults.push(`the section ${shown(section.textContent)} is empty`);
  }
  for (const table of document.querySelectorAll("table")) {
    if (table.closest("#vg-tooltip-element")) continue;
    const rows = [...table.querySelectorAll("tbody tr")];
    [...table.querySelectorAll("thead th")].forEach((head, i) => {
      if (rows.every((row) => ["", "–"].includes(row.cells[i].textContent.trim()))) {
        faults.push(`${named(table)}: the column ${shown(head.textContent)} is empty`);
      }
    });
  }

  const root = document.scrollingElement;
  if (root.scrollWidth > root.clientWidth) {
    faults.push(`the page is ${root.scrollWidth} pixels wide where ${root.clientWidth} are there`);
  }
  for (const box of document.querySelectorAll("h1, h2, h3, p, li, dt, dd, th, td, summary, .legend, .panel-title")) {
    if (box.closest("#vg-tooltip-element")) continue;
    const scrolls = box.parentElement.closest(".scroll");
    if (box.clientWidth > 0 && box.scrollWidth > box.clientWidth + 1 && !scrolls) {
      faults.push(`${named(box)}: the text ${shown(box.textContent)} overflows`);
    }
  }
  for (const svg of document.querySelectorAll(".view svg")) {
    const container = svg.closest(".view");
    const [inner, outer] = [svg.getBoundingClientRect().width, container.getBoundingClientRect().width];
    if (!svg.closest(".scroll") && inner > outer + 0.5) {
      faults.push(`${named(svg)}: a chart of ${Math.round(inner)} pixels in a place of ${Math.round(outer)}`);
    }
    // Text that a chart draws beyond its own edge is cut off.
    const frame = svg.getBoundingClientRect();
    for (const text of svg.querySelectorAll("text")) {
      const box = text.getBoundingClientRect();
      if (box.width > 0 && (box.left < frame.left - 1.5 || box.right > frame.right + 1.5)) {
        faults.push(`${named(svg)}: the text ${shown(text.textContent)} is cut off`);
      }
    }
  }

  for (const tile of document.querySelectorAll("canvas, img")) {
    const copy = document.createElement("canvas");
    copy.width = tile.naturalWidth ?? tile.width;
    copy.height = tile.naturalHeight ?? tile.height;
    const label = shown(tile.getAttribute("aria-label") ?? "");
    if (copy.width * copy.height === 0) {
      faults.push(`${named(tile)}: the picture ${label} has no size`);
      continue;
    }
    if (tile.clientWidth < copy.width) {
      faults.push(`${named(tile)}: the picture ${label} has ${copy.width} columns in ${tile.clientWidth} pixels`);
    }
    copy.getContext("2d").drawImage(tile, 0, 0);
    const pixels = new Uint32Array(copy.getContext("2d").getImageData(0, 0, copy.width, copy.height).data.buffer);
    if (pixels.every((pixel) => pixel === pixels[0])) faults.push(`${named(tile)}: the picture ${label} is blank`);
    if (!tile.getAttribute("aria-label") && !tile.getAttribute("alt")) {
      faults.push(`${named(tile)}: a picture without a caption`);
    }
  }

  const identifiers = [...document.querySelectorAll("[id]")].map((node) => node.id);
  for (const id of new Set(identifiers)) {
    if (identifiers.filter((other) => other === id).length > 1) faults.push(`the id ${id} occurs more than once`);
  }
  for (const link of document.querySelectorAll("a[href^='#']")) {
    if (!document.getElementById(link.getAttribute("href").slice(1))) faults.push(`${link.href}: a link to nothing`);
  }
  return faults;
}

async function openNumbers(page) {
  await page.evaluate(() => document.querySelectorAll("details").forEach((details) => (details.open = true)));
  await drawn(page);
}

async function testSetting(browser, file, directory, width, scheme, report) {
  const setting = `${width}-${scheme}`;
  const page = await openReport(browser, file, { width, scheme, listen: (tab) => listenTo(tab, setting, report) });
  await page.screenshot({ path: join(directory, `${setting}.png`), fullPage: true });
  await openNumbers(page);
  for (const fault of await page.evaluate(faultsOfPage)) report(`${setting}: ${fault}`);
  for (const fault of await page.evaluate(faintTexts)) report(`${setting}: ${fault}`);
  await page.close();
}

// A window that is made narrow must end up like one that was narrow from the start, and one that turns dark
// like one that was dark.
async function testChange(browser, file, report) {
  const setting = "1280-light to 390-dark";
  const page = await openReport(browser, file, {
    width: WIDTHS[0],
    scheme: "light",
    listen: (tab) => listenTo(tab, setting, report),
  });
  await page.setViewport({ width: WIDTHS[1], height: 900 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "dark" }]);
  await drawn(page);
  await openNumbers(page);
  for (const fault of await page.evaluate(faultsOfPage)) report(`${setting}: ${fault}`);
  for (const fault of await page.evaluate(faintTexts)) report(`${setting}: ${fault}`);
  await page.close();
}

async function main([file, directory, chromium]) {
  if (!file || !directory) {
    console.error("usage: page_test.mjs REPORT.html SCREENSHOT_DIRECTORY [CHROMIUM]");
    return 2;
  }
  return checkPage(file, directory, chromium, `no fault at ${WIDTHS.join(" and ")} pixels, light and dark`, async (browser, report) => {
    for (const width of WIDTHS) {
      for (const scheme of SCHEMES) await testSetting(browser, file, directory, width, scheme, report);
    }
    await testChange(browser, file, report);
  });
}

process.exitCode = await main(process.argv.slice(2));
