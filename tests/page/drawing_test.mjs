// Tests a page that `export --format html` wrote, in a browser: drawing_test.mjs PROGRAM RUN PAGE.html REPORT.html DIRECTORY [CHROMIUM]
// PAGE: of the network in RUN; REPORT: a page with a link to it; DIRECTORY: for screenshots. Prints one line per fault and exits
// with 1 if there is any.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { openReport } from "./browser.mjs";
import { SCHEMES, WIDTHS, checkPage, faintTexts, listenTo } from "./checks.mjs";
import { DIGITS, curve } from "./strokes.mjs";

const LEAST_RIGHT = 9; // of the ten digits
// Levels of 255, of a pixel in the mean: Leptonica, by which `predict` scales, knows places to a sixteenth of a pixel.
const LARGEST_DIFFERENCE = 0.5;

const textOf = (page, selector) => page.$eval(selector, (node) => node.textContent);

async function draw(page, strokes) {
  const pad = await (await page.$("#pad")).boundingBox();
  const place = ([x, y]) => [pad.x + x * pad.width, pad.y + y * pad.height];
  for (const stroke of strokes) {
    const [first, ...rest] = curve(stroke).map(place);
    await page.mouse.move(...first);
    await page.mouse.down();
    for (const point of rest) await page.mouse.move(...point);
    await page.mouse.up();
  }
}

// The drawing as a picture of dark ink on light ground, and what the page makes of it.
function drawing() {
  const pad = document.getElementById("pad");
  const { width, height } = pad;
  const { data } = pad.getContext("2d").getImageData(0, 0, width, height);
  const ink = Uint8Array.from({ length: width * height }, (_, i) => data[4 * i + 3]);
  const paper = document.createElement("canvas");
  paper.width = width;
  paper.height = height;
  const context = paper.getContext("2d");
  const image = context.createImageData(width, height);
  ink.forEach((grey, i) => image.data.set([255 - grey, 255 - grey, 255 - grey, 255], 4 * i));
  context.putImageData(image, 0, 0);
  const pixels = prepared(ink, width, height, 28, 28);
  return { png: paper.toDataURL("image/png").split(",")[1], pixels: [...pixels] };
}

async function greysOf(browser, file) {
  const page = await browser.newPage();
  const address = `data:image/png;base64,${readFileSync(file, "base64")}`;
  const greys = await page.evaluate(async (source) => {
    const image = new Image();
    image.src = source;
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.width, image.height];
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    return [...context.getImageData(0, 0, image.width, image.height).data].filter((_, i) => i % 4 === 0);
  }, address);
  await page.close();
  return greys;
}

// The ten digits: what the network reads, and that `predict` prepares and reads the same.
async function testDigits(browser, page, { program, run, directory }, report) {
  const files = [];
  const made = [];
  const read = [];
  for (const strokes of DIGITS) {
    await page.keyboard.press("Escape");
    await draw(page, strokes);
    read.push(await textOf(page, "#best"));
    const spoken = await textOf(page, "#spoken");
    if (!spoken.startsWith(`Read as ${read[read.length - 1]}, `)) report(`what is shown as ${read[read.length - 1]} is said as ${spoken}`);
    const { png, pixels } = await page.evaluate(drawing);
    files.push(join(directory, `digit-${files.length}.png`));
    writeFileSync(files[files.length - 1], Buffer.from(png, "base64"));
    made.push(pixels);
  }
  const right = read.filter((best, digit) => best === String(digit)).length;
  console.log(`digits drawn from 0 to 9, read as: ${read.join(" ")}`);
  if (right < LEAST_RIGHT) report(`of ten digits drawn, ${right} are right: ${read.join(" ")}`);
  const seen = join(directory, "seen.png");
  const lines = execFileSync(program, ["predict", run, ...files, "--show", seen, "--force"], { encoding: "utf8" }).trim().split("\n");
  const greys = await greysOf(browser, seen); // the ten side by side
  const differences = made.map((pixels, digit) => {
    const its = (i) => greys[Math.floor(i / 28) * 280 + digit * 28 + (i % 28)];
    return pixels.reduce((sum, pixel, i) => sum + Math.abs(pixel - its(i)), 0) / pixels.length;
  });
  const largest = Math.max(...differences);
  console.log(`prepared by the page and by predict: a pixel differs by ${largest.toFixed(2)} levels in the mean of a digit, or less`);
  if (!(largest < LARGEST_DIFFERENCE)) report(`the page prepares a digit otherwise than predict: by ${largest.toFixed(1)} levels a pixel`);
  lines.forEach((line, digit) => {
    if (line.split("\t")[1] !== read[digit]) report(`the page reads digit ${digit} as ${read[digit]}, predict as ${line}`);
  });
}

async function testControls(page, report) {
  const expect = async (selector, wanted, what) => {
    const found = await textOf(page, selector);
    if (!wanted.test(found)) report(`${what}: ${selector} says ${JSON.stringify(found)}`);
  };
  const { length } = await page.$$("#layers canvas");
  const empty = () => page.$$eval("#layers canvas", (list) => list.filter((canvas) => canvas.ariaLabel.endsWith("nothing yet")).length);
  if ((await empty()) !== 0) report(`${await empty()} of ${length} layers show nothing while a digit is drawn`);
  await page.keyboard.press("Escape");
  await expect("#best", /^–$/, "after Escape");
  await expect("#spoken", /^Cleared\.$/, "after Escape");
  if ((await empty()) !== length - 1) report("layers show something while nothing is drawn");
  await draw(page, DIGITS[1]);
  await draw(page, [[[0.1, 0.1], [0.9, 0.1]]]);
  await page.click("#undo");
  await expect("#best", /^1$/, "after a stroke was undone");
  await page.click("#clear");
  await expect("#best", /^–$/, "after Clear");

  for (const group of ["samples", "mistakes"]) {
    const first = await page.$(`#${group} [role=radio][tabindex="0"]`);
    if (!first) {
      report(`${group}: no image can be reached by keyboard`);
      continue;
    }
    await first.focus();
    await page.keyboard.press("ArrowRight");
    const chosen = await page.$$eval("[aria-checked=true]", (list) => list.map((node) => node.ariaLabel));
    const focused = await page.evaluate(() => [document.activeElement.ariaLabel, getComputedStyle(document.activeElement).outlineStyle]);
    if (chosen.length !== 1 || chosen[0] !== focused[0]) report(`${group}: the arrow key chose ${chosen} and went to ${focused[0]}`);
    if (focused[1] === "none") report(`${group}: the focus is not to be seen`);
    await expect("#certainty", group === "samples" ? /, (right|but)/ : /, but t10k \d+ is \d/, group);
  }
  const labels = await page.$$eval("#mistakes [role=radio]", (list) => list.map((node) => node.ariaLabel));
  const wrong = labels.filter((label) => /^t10k \d+: (\d), read as (?!\1)\d$/.test(label));
  if (labels.length === 0 || wrong.length !== labels.length) report(`mistakes: ${labels.length - wrong.length} of ${labels.length} are none`);
  await page.keyboard.press("Delete");
  if (await page.$("[aria-checked=true]")) report("after Delete an image is still chosen");
}

// Where the ink of what the network sees has its middle, in parts of the sides.
function middleOfSeen() {
  const seen = document.querySelector("#layers canvas");
  const { data } = seen.getContext("2d").getImageData(0, 0, seen.width, seen.height);
  let [mass, x, y] = [0, 0, 0];
  for (let i = 0; i < seen.width * seen.height; ++i) {
    mass += data[4 * i + 3];
    x += data[4 * i + 3] * ((i % seen.width) + 0.5);
    y += data[4 * i + 3] * (Math.floor(i / seen.width) + 0.5);
  }
  return [x / mass / seen.width, y / mass / seen.height];
}

// A network of whole pictures sees a stroke where it was drawn, one of digits sees it in the middle.
async function testWhole(browser, file, directory, report) {
  const whole = join(directory, "whole.html");
  const changed = [['"metadata":{', '"metadata":{"pictures":"scaled",'], ['"deskew":true', '"deskew":false']]; // deskewing centres too
  writeFileSync(whole, changed.reduce((text, [from, to]) => text.replace(from, to), readFileSync(file, "utf8")));
  const stroke = [[[0.75, 0.15], [0.85, 0.25]]];
  for (const [name, wanted] of [[whole, [0.8, 0.2]], [file, [0.5, 0.5]]]) {
    const page = await openReport(browser, name, { width: WIDTHS[0], scheme: "light", listen: (tab) => listenTo(tab, "whole", report) });
    await draw(page, stroke);
    const middle = await page.evaluate(middleOfSeen);
    if (!middle.every((place, i) => Math.abs(place - wanted[i]) < 0.05)) report(`${name}: a stroke is seen at ${middle}, not at ${wanted}`);
    await page.close();
  }
}

// A finger draws too, and the page does not scroll under it.
async function testFinger(browser, file, report) {
  const page = await browser.newPage();
  await page.setViewport({ width: WIDTHS[1], height: 844, hasTouch: true, isMobile: true });
  listenTo(page, "finger", report);
  await page.goto(pathToFileURL(resolve(file)).href, { waitUntil: "load" });
  const pad = await (await page.$("#pad")).boundingBox();
  const [first, ...rest] = curve(DIGITS[1][0]).map(([x, y]) => [pad.x + x * pad.width, pad.y + y * pad.height]);
  await page.touchscreen.touchStart(...first);
  for (const point of rest) await page.touchscreen.touchMove(...point);
  await page.touchscreen.touchEnd();
  const best = await textOf(page, "#best");
  if (best !== "1") report(`a 1 drawn with a finger is read as ${best}`);
  if ((await page.evaluate(() => window.scrollY)) !== 0) report("the page scrolls under the finger that draws");
  await page.close();
}

function faultsOfDrawingPage() {
  const faults = [];
  const root = document.scrollingElement;
  if (root.scrollWidth > root.clientWidth) faults.push(`the page is ${root.scrollWidth} pixels wide where ${root.clientWidth} are there`);
  for (const box of document.querySelectorAll("h1, h2, p:not(#spoken), li, dt, dd, button, span")) {
    if (box.clientWidth > 0 && box.scrollWidth > box.clientWidth + 1) faults.push(`the text ${JSON.stringify(box.textContent.slice(0, 40))} overflows`);
  }
  for (const canvas of document.querySelectorAll("canvas:not([aria-hidden])")) {
    if (!canvas.ariaLabel || canvas.getAttribute("role") !== "img") faults.push("a picture without a label");
  }
  for (const button of document.querySelectorAll("button")) {
    if (!(button.ariaLabel || button.textContent.trim())) faults.push("a button without a name");
  }
  return faults;
}

async function testLooks(browser, file, directory, report) {
  for (const width of WIDTHS) {
    for (const scheme of SCHEMES) {
      const setting = `${width}-${scheme}`;
      const page = await openReport(browser, file, { width, scheme, listen: (tab) => listenTo(tab, setting, report) });
      await draw(page, DIGITS[3]);
      await page.screenshot({ path: join(directory, `${setting}.png`), fullPage: true });
      for (const fault of await page.evaluate(faultsOfDrawingPage)) report(`${setting}: ${fault}`);
      for (const fault of await page.evaluate(faintTexts)) report(`${setting}: ${fault}`);
      await page.close();
    }
  }
}

async function testLink(browser, file, report) {
  const page = await openReport(browser, file, { width: WIDTHS[0], scheme: "light" });
  const address = await page.$eval("#top a", (link) => link.href);
  await page.goto(address, { waitUntil: "load" });
  if (!(await page.$("#pad"))) report(`the report's link leads to ${address}, which is no page to draw on`);
  await page.close();
}

async function main([program, run, file, reportFile, directory, chromium]) {
  if (!directory) {
    console.error("usage: drawing_test.mjs PROGRAM RUN PAGE.html REPORT.html DIRECTORY [CHROMIUM]");
    return 2;
  }
  return checkPage(file, directory, chromium, "no fault", async (browser, report) => {
    const page = await openReport(browser, file, { width: WIDTHS[0], scheme: "light", listen: (tab) => listenTo(tab, "drawing", report) });
    await testDigits(browser, page, { program, run, directory }, report);
    await testControls(page, report);
    await page.close();
    await testWhole(browser, file, directory, report);
    await testFinger(browser, file, report);
    await testLooks(browser, file, directory, report);
    await testLink(browser, reportFile, report);
  });
}

process.exitCode = await main(process.argv.slice(2));
