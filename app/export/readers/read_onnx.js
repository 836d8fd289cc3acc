// Runs an ONNX file on images with ONNX Runtime under Node.js, for `handgrad export --verify`. The package is looked for in
// node_modules of the current directory and above, and in NODE_PATH.
// Arguments: the model file, a file of pixels (a byte each, image after image), a file for the probabilities (float32), rows and
// columns of an image. Prints what it read the file with; exits 77 where that is not installed.
const fs = require('fs');

function load(names) {
  for (const name of names) {
    try {
      return [name, require(name)];
    } catch (error) {
      if (error.code !== 'MODULE_NOT_FOUND') throw error;
    }
  }
  return process.exit(77);
}

async function main() {
  const [modelFile, pixelFile, outputFile, rows, columns] = process.argv.slice(1);
  const [name, ort] = load(['onnxruntime-node', 'onnxruntime-web']);
  if (ort.env.wasm) ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(new Uint8Array(fs.readFileSync(modelFile)));
  const images = Float32Array.from(fs.readFileSync(pixelFile), (byte) => byte / 255);
  const shape = [images.length / (rows * columns), 1, Number(rows), Number(columns)];
  const { probabilities } = await session.run({ images: new ort.Tensor('float32', images, shape) });
  const { data } = probabilities;
  fs.writeFileSync(outputFile, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  const version = name === 'onnxruntime-web' ? ort.env.versions.web : ort.env.versions.node;
  console.log(`${name} ${version}, Node.js ${process.version}`);
}

main().catch((error) => {
  console.error(`error: ${error.message}`);
  process.exit(1);
});
