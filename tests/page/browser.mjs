// Opens a report in headless Chromium, for the test of the page and for pictures of its charts.
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";
import { execFileSync } from "node:child_process";
import puppeteer from "puppeteer-core";

function pathOf(program) {
  if (program.includes("/")) return program;
  return execFileSync("/bin/sh", ["-c", 'command -v "$0"', program], { encoding: "utf8" }).trim();
}

export async function launch(chromium = "chromium") {
  return puppeteer.launch({
    executablePath: pathOf(chromium),
    // Continuous integration runs as root, where Chromium has no sandbox.
    args: ["--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-color-profile=srgb"],
  });
}

// A tab that shows the report in one setting. What it says and asks for goes to listen(page) from the start.
export async function openReport(browser, file, { width, height = 900, scheme, scale = 1, listen = () => {} }) {
  const page = await browser.newPage();
  await page.setViewport({ width, height, deviceScaleFactor: scale });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  await listen(page);
  await page.goto(pathToFileURL(resolve(file)).href, { waitUntil: "load" });
  await drawn(page);
  return page;
}

// Waits until the page has drawn all its charts for the width that it has now, or has given up.
export async function drawn(page) {
  // A change of width is noticed with a delay.
  await new Promise((done) => setTimeout(done, 400));
  await page.waitForFunction(() => document.documentElement.dataset.drawn !== "no", { timeout: 120000 });
}
