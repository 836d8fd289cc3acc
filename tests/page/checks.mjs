// What every page is held to: that it reaches nothing, complains of nothing, and can be read.
import { mkdirSync, readFileSync } from "node:fs";
import { launch } from "./browser.mjs";

export const WIDTHS = [1280, 390];
export const SCHEMES = ["light", "dark"];

// Text of which a reader would need good eyes: less than 4.5 to 1 against what is behind it.
export function faintTexts() {
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

export function addressesIn(file) {
  const found = new Set(readFileSync(file, "utf8").match(/https?:\/\/[^\s"'`<>)]*/gi) ?? []);
  return [...found].filter((address) => !address.startsWith("http://www.w3.org/"));
}

export function listenTo(page, setting, report) {
  page.on("console", (message) => {
    // Vega says there what it cannot draw as it was asked to.
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

// Runs test(browser, report) on the page in `file`, which leaves its screenshots in `directory`, and prints the faults that it
// reported, or `praise`. Returns the exit code.
export async function checkPage(file, directory, chromium, praise, test) {
  const faults = new Set();
  const report = (fault) => faults.add(fault);
  mkdirSync(directory, { recursive: true });
  for (const address of addressesIn(file)) report(`the file holds the address ${address}`);
  const browser = await launch(chromium);
  try {
    await test(browser, report);
  } catch (error) {
    report(`the test cannot go on: ${error.message}`);
  } finally {
    await browser.close();
  }
  for (const fault of faults) console.error(fault.replaceAll("\n", " "));
  if (faults.size === 0) console.log(`${file}: ${praise}`);
  return faults.size === 0 ? 0 : 1;
}
