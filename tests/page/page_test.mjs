// Tests a report in a browser: page_test.mjs REPORT.html SCREENSHOT_DIRECTORY [CHROMIUM]
// Prints one line per fault and exits with 1 if there is any.
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { drawn, launch, openReport } from "./browser.mjs";

const WIDTHS = [1280, 390];
const SCHEMES = ["light", "dark"];

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

// Text of which a reader would need good eyes: less than 4.5 to 1 against what is behind it.
function faintTexts() {
  const faults = [];
  const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const layered = (colours) => {
    probe.clearRect(0, 0, 1, 1);
    for (const colour of colours) {
      probe.fillStyle = colour;
      probe.fillRect(0, 0, 1, 1);
    }
    return [...probe.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (colour) => {
    const [red, green, blue] = colour.map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const grounds = (node) => {
    const colours = [];
    for (let at = node; at; at = at.parentElement) colours.unshift(getComputedStyle(at).backgroundColor);
    return ["white", ...colours];
  };
  const seen = new Set();
  for (const node of document.querySelectorAll("body *:not(script, noscript, style)")) {
    const words = [...node.childNodes].some((child) => child.nodeType === Node.TEXT_NODE && child.data.trim());
    if (!words || node.getClientRects().length === 0) continue;
    const style = getComputedStyle(node);
    const behind = grounds(node);
    const front = node instanceof SVGElement ? style.fill : style.color;
    const [low, high] = [luminance(layered(behind)), luminance(layered([...behind, front]))].sort((a, b) => a - b);
    const contrast = (high + 0.05) / (low + 0.05);
    const key = `${front} ${behind.join()}`;
    if (contrast < 4.5 && !seen.has(key)) {
      seen.add(key);
      faults.push(`the text ${JSON.stringify(node.textContent.trim().slice(0, 40))} has a contrast of only ${contrast.toFixed(1)}`);
    }
  }
  return faults;
}

function addressesIn(file) {
  const found = new Set(readFileSync(file, "utf8").match(/https?:\/\/[^\s"'`<>)]*/gi) ?? []);
  return [...found].filter((address) => !address.startsWith("http://www.w3.org/"));
}

function listenTo(page, setting, report) {
  page.on("console", (message) => {
    // Vega says through the console what it cannot draw as it was asked to.
    if (["error", "warn", "warning", "assert"].includes(message.type())) {
      report(`${setting}: the console says: ${message.text()}`);
    }
  });
  page.on("pageerror", (error) => report(`${setting}: ${error.message}`));
  page.on("request", (request) => {
    const own = request.isNavigationRequest() && request.url().startsWith("file://");
    if (!own && !/^(data|blob):/.test(request.url())) report(`${setting}: the page asks for ${request.url()}`);
  });
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
  const faults = new Set();
  const report = (fault) => faults.add(fault);
  mkdirSync(directory, { recursive: true });
  for (const address of addressesIn(file)) report(`the file holds the address ${address}`);
  const browser = await launch(chromium);
  try {
    for (const width of WIDTHS) {
      for (const scheme of SCHEMES) await testSetting(browser, file, directory, width, scheme, report);
    }
    await testChange(browser, file, report);
  } catch (error) {
    report(`the test cannot go on: ${error.message}`);
  } finally {
    await browser.close();
  }
  for (const fault of faults) console.error(fault.replaceAll("\n", " "));
  if (faults.size === 0) console.log(`${file}: no fault at ${WIDTHS.join(" and ")} pixels, light and dark`);
  return faults.size === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
