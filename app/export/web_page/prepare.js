// From a drawing to the pixels that a network takes.

const INK = 128; // from which a pixel of the drawing is ink
const [DIGIT, IMAGE] = [20, 28]; // a digit of MNIST has 20 of 28 pixels

// The sides of what is drawn, the last two outside; null where nothing is.
function inkBox(ink, width, height) {
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let y = 0; y < height; ++y) {
    for (let x = 0; x < width; ++x) {
      if (ink[y * width + x] < INK) continue;
      left = Math.min(left, x);
      right = Math.max(right, x + 1);
      top = Math.min(top, y);
      bottom = y + 1;
    }
  }
  return right > left ? { left, top, right, bottom } : null;
}

// Which of `count` cells lie in each of `parts` equal parts of their length, and how much of it they are.
function shares(count, parts) {
  return Array.from({ length: parts }, (_, part) => {
    const [begin, end] = [(part * count) / parts, ((part + 1) * count) / parts];
    const first = Math.floor(begin);
    const list = [];
    for (let cell = first; cell < end; ++cell) {
      list.push([cell, (Math.min(end, cell + 1) - Math.max(begin, cell)) / (end - begin)]);
    }
    return { first, list, atEdge: Math.floor(end) >= count - 1 };
  });
}

// What lies in the box, by the mean of what becomes one pixel; but the last row and column take the pixel that they begin
// with, as they do with Leptonica, by which `handgrad predict` scales.
function scaledBox(ink, width, box, columns, rows) {
  const across = shares(box.right - box.left, columns);
  const down = shares(box.bottom - box.top, rows);
  const inkAt = (x, y) => ink[(box.top + y) * width + box.left + x];
  const scaled = new Uint8Array(rows * columns);
  down.forEach((ys, row) => {
    across.forEach((xs, column) => {
      let sum = 0;
      if (ys.atEdge || xs.atEdge) sum = inkAt(xs.first, ys.first);
      else for (const [y, part] of ys.list) for (const [x, share] of xs.list) sum += part * share * inkAt(x, y);
      scaled[row * columns + column] = Math.round(sum);
    });
  });
  return scaled;
}

// Where an extent begins whose centre of mass is to lie in the middle of a side, but inside of it.
function beginning(moment, mass, side, extent) {
  const at = Math.round(side / 2 - moment / Math.max(mass, 1));
  return Math.min(Math.max(at, 0), side - extent);
}

// ink: 0 to 255, height × width. As `handgrad predict` does it with a picture: what is drawn, cut out, scaled to 20 of
// 28 parts of rows × columns with its proportions kept, and laid with its centre of mass in the middle. null: no ink.
function prepared(ink, width, height, rows, columns) {
  const box = inkBox(ink, width, height);
  if (!box) return null;
  const [boxWidth, boxHeight] = [box.right - box.left, box.bottom - box.top];
  const scale = Math.min((columns * DIGIT) / IMAGE / boxWidth, (rows * DIGIT) / IMAGE / boxHeight);
  const across = Math.max(1, Math.round(scale * boxWidth));
  const down = Math.max(1, Math.round(scale * boxHeight));
  const digit = scaledBox(ink, width, box, across, down);
  let [mass, massX, massY] = [0, 0, 0];
  digit.forEach((grey, i) => {
    mass += grey;
    massX += grey * ((i % across) + 0.5);
    massY += grey * (Math.floor(i / across) + 0.5);
  });
  const left = beginning(massX, mass, columns, across);
  const top = beginning(massY, mass, rows, down);
  const pixels = new Uint8Array(rows * columns);
  digit.forEach((grey, i) => {
    pixels[(top + Math.floor(i / across)) * columns + left + (i % across)] = grey;
  });
  return pixels;
}

// All of the drawing, as it stands; null: no ink.
function scaledWhole(ink, width, height, rows, columns) {
  const whole = { left: 0, top: 0, right: width, bottom: height };
  return inkBox(ink, width, height) ? scaledBox(ink, width, whole, columns, rows) : null;
}

// In 1/256 of a pixel.
const in256ths = (pixels) => Math.floor(256 * pixels + 0.5);

// Leaning images upright and in the middle: core/data/deskew.h has the equations. The same bytes as there, because sums
// are whole numbers, and the steps between them are those of float64 in the same order.
function deskewed(pixels, rows, columns) {
  let [m, xSum, ySum, xySum, yySum] = [0, 0, 0, 0, 0];
  for (let y = 0; y < rows; ++y) {
    for (let x = 0; x < columns; ++x) {
      const p = pixels[y * columns + x];
      m += p;
      xSum += x * p;
      ySum += y * p;
      xySum += x * y * p;
      yySum += y * y * p;
    }
  }
  const mass = Math.max(m, 1);
  const [cx, cy] = [xSum / mass, ySum / mass];
  const xy = xySum / mass - cx * cy;
  const yy = yySum / mass - cy * cy;
  const slant = Math.min(Math.max(xy / Math.max(yy, 1e-6), -1), 1);
  const [middleX, middleY] = [(columns - 1) / 2, (rows - 1) / 2];
  const down = in256ths(cy - middleY);
  const below = down & 255;
  const pixel = (x, y) => (x >= 0 && x < columns && y >= 0 && y < rows ? pixels[y * columns + x] : 0);
  const upright = new Uint8Array(rows * columns);
  for (let row = 0; row < rows; ++row) {
    const along = in256ths(slant * (row - middleY) + (cx - middleX));
    const right = along & 255;
    const y = row + (down >> 8);
    for (let column = 0; column < columns; ++column) {
      const x = column + (along >> 8);
      const upper = (256 - right) * pixel(x, y) + right * pixel(x + 1, y);
      const lower = (256 - right) * pixel(x, y + 1) + right * pixel(x + 1, y + 1);
      upright[row * columns + column] = ((256 - below) * upper + below * lower + 32768) >> 16;
    }
  }
  return upright;
}
