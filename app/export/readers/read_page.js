// Runs the network of an exported page on images with the page's own script under Node.js, for `handgrad export --verify`.
// Arguments: the page, a file of pixels (a byte each, image after image), a file for the probabilities (float32); more are passed
// over. Prints what it read the page with.
const fs = require('fs');
const vm = require('vm');

function contentsOf(page, id) {
  const begin = new RegExp(`<script[^>]* id="${id}"[^>]*>`).exec(page);
  if (!begin) throw new Error(`the page has no script ${id}`);
  const rest = page.slice(begin.index + begin[0].length);
  return rest.slice(0, rest.indexOf('</script>'));
}

function main() {
  const [pageFile, pixelFile, outputFile] = process.argv.slice(1);
  const page = fs.readFileSync(pageFile, 'utf8');
  const model = JSON.parse(contentsOf(page, 'model'));
  // A context of its own: the script gets nothing of Node.js but what it needs of a browser.
  const { readNetwork, run } = vm.runInNewContext(`${contentsOf(page, 'network')}\n({ readNetwork, run })`, { atob });
  const network = readNetwork(model);
  const pixels = fs.readFileSync(pixelFile);
  const inputs = network.rows * network.columns;
  const results = [];
  for (let i = 0; i < pixels.length; i += inputs) results.push(...run(network, pixels.subarray(i, i + inputs)).probabilities);
  fs.writeFileSync(outputFile, new Uint8Array(Float32Array.from(results).buffer));
  console.log(`the page's own script, Node.js ${process.version}`);
}

try {
  main();
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exit(1);
}
