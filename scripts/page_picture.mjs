// Saves one chart of a report as a picture: page_picture.mjs REPORT.html SELECTOR FILE.png [CHROMIUM]
// SELECTOR is the CSS selector of the chart, such as #loss. First run `npm ci --ignore-scripts` in tests/page.
import { drawn, launch, openReport } from "../tests/page/browser.mjs";

const WIDTH = 900;

// Gives the chart itself the width, whatever the margins around it, and leaves out what a picture cannot open.
async function fitTo(page, chart) {
  await page.addStyleTag({ content: "details { display: none }" });
  const around = WIDTH - (await chart.boundingBox()).width;
  await page.setViewport({ width: Math.round(WIDTH + around), height: 900, deviceScaleFactor: 2 });
  await drawn(page);
}

async function main([file, selector, picture, chromium]) {
  if (!file || !selector || !picture) {
    console.error("usage: page_picture.mjs REPORT.html SELECTOR FILE.png [CHROMIUM]");
    return 2;
  }
  const browser = await launch(chromium);
  try {
    const page = await openReport(browser, file, { width: WIDTH, scheme: "light", scale: 2 });
    const chart = await page.$(selector);
    if (!chart) {
      console.error(`${file}: nothing matches ${selector}`);
      return 1;
    }
    await fitTo(page, chart);
    await chart.screenshot({ path: picture });
  } finally {
    await browser.close();
  }
  return 0;
}

process.exitCode = await main(process.argv.slice(2));
