// The network in plain JavaScript, for the page and, in Node.js, for `handgrad export --verify`.

// The layers as the program wrote them, with their numbers: float32, the lowest byte first, layer after layer.
function readNetwork(model) {
  const bytes = bytesOf(model.numbers);
  const view = new DataView(bytes.buffer);
  let place = 0;
  const take = (count) => {
    const numbers = Float32Array.from({ length: count }, (_, i) => view.getFloat32(place + 4 * i, true));
    place += 4 * count;
    return numbers;
  };
  let width = model.rows * model.columns;
  const layers = model.layers.map(({ kind, outputs }) => {
    const inputs = width;
    width = outputs;
    if (kind === "linear") return { kind, inputs, outputs, weight: take(inputs * outputs), bias: take(outputs) };
    if (kind === "batch norm") return { kind, outputs, scale: take(outputs), shift: take(outputs) };
    return { kind, outputs };
  });
  if (place !== bytes.length) throw new Error("the numbers in this file are not those of its layers");
  return { ...model, layers };
}

// y = layer(x), each on Float32Arrays.
const LAYERS = {
  linear({ inputs, outputs, weight, bias }, x) {
    const y = new Float32Array(outputs);
    for (let o = 0; o < outputs; ++o) {
      let sum = bias[o];
      for (let i = 0, w = o * inputs; i < inputs; ++i, ++w) sum += weight[w] * x[i];
      y[o] = sum;
    }
    return y;
  },
  // With the running statistics it is affine.
  "batch norm": ({ scale, shift }, x) => x.map((value, i) => scale[i] * value + shift[i]),
  ReLU: (_, x) => x.map((value) => Math.max(value, 0)),
  "leaky ReLU": (_, x) => x.map((value) => (value < 0 ? 0.01 * value : value)),
  tanh: (_, x) => x.map(Math.tanh),
};

function softmax(logits) {
  const largest = logits.reduce((a, b) => Math.max(a, b));
  const powers = logits.map((logit) => Math.exp(logit - largest));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

// pixels: 0 to 255, row by row, as in an IDX file. seen: what the first layer gets; activations: what each layer
// gives.
function run(network, pixels) {
  const seen = network.deskew ? deskewed(pixels, network.rows, network.columns) : pixels;
  const activations = [];
  let x = Float32Array.from(seen, (pixel) => pixel / 255);
  for (const layer of network.layers) {
    x = LAYERS[layer.kind](layer, x);
    activations.push(x);
  }
  return { seen, activations, probabilities: softmax(x) };
}

const bestOf = (values) => values.reduce((best, value, i) => (value > values[best] ? i : best), 0);
