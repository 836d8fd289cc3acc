#!/usr/bin/env python3
"""What a model makes of pictures of test digits, as `handgrad predict` reads them, beside the same digits as IDX: pictures from 20
to 2000 pixels, dark on light and light on dark, on paper with shading and noise, off centre, rotated up to 10 degrees, with thin and
thick strokes, as JPEG of quality 30. Between them, the same turned, thin and thick digits as IDX, without paper: what of the difference
is the digits' own. Also the same pictures only scaled to 28 x 28, with --as-is: what the preparation is worth.

    scripts/picture_accuracy.py MODEL [N] [FOLDER]

MODEL: a run or a model file. N: how many pictures [200]. FOLDER: keeps the pictures there. MNIST_DIR names the data [data/mnist];
HANDGRAD the program [build/handgrad]. Needs numpy and Pillow (scripts/setup.sh --tests).
"""

import gzip
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

import numpy
from PIL import Image, ImageFilter


def read_idx(name):
    folder = pathlib.Path(os.environ.get("MNIST_DIR", "data/mnist"))
    plain = folder / name
    data = plain.read_bytes() if plain.exists() else gzip.open(folder / (name + ".gz")).read()
    sizes = struct.unpack(f">{data[3]}I", data[4 : 4 + 4 * data[3]])
    return numpy.frombuffer(data, numpy.uint8, offset=4 + 4 * data[3]).reshape(sizes)


def picture_of(digit, random):
    """A digit somewhere on a sheet of paper, and its ink alone."""
    # From 20 pixels, where the digit fills the picture, to 2000.
    side = int(round(20 * 100 ** random.uniform()))
    size = int(side * (random.uniform(0.5, 0.9) if side > 56 else 1))
    cut = digit[numpy.ix_(digit.any(1).nonzero()[0], digit.any(0).nonzero()[0])]
    frame = numpy.pad(cut, 3 if side > 56 else 1)
    scale = size / max(frame.shape)
    ink = Image.fromarray(frame).resize([max(1, round(n * scale)) for n in frame.shape[::-1]], Image.BICUBIC)
    if size > 56:  # thinner and thicker by up to half a pixel of the digit's own
        ink = ink.filter(ImageFilter.GaussianBlur(0.4 * scale))
        level = random.uniform(80, 170)
        sharp = 4 * (numpy.asarray(ink, float) - level) + 128
        ink = Image.fromarray(numpy.clip(sharp, 0, 255).astype(numpy.uint8))
    ink = ink.rotate(random.uniform(-10, 10), Image.BICUBIC, expand=side > 56)
    width = max(side, ink.width)
    height = max(int(side * random.uniform(0.7, 1)), ink.height)
    opacity = numpy.zeros((height, width))
    y, x = random.integers(0, height - ink.height + 1), random.integers(0, width - ink.width + 1)
    opacity[y : y + ink.height, x : x + ink.width] = numpy.asarray(ink, float) / 255
    v, u = numpy.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    paper = random.uniform(170, 220) + random.uniform(-25, 25) * u + random.uniform(-25, 25) * v - random.uniform(0, 20) * (u * u + v * v)
    pixels = paper * (1 - opacity * random.uniform(0.6, 0.9)) + random.normal(0, random.uniform(0, 8), paper.shape)
    if random.uniform() < 0.5:
        pixels = 255 - pixels
    return Image.fromarray(numpy.clip(pixels, 0, 255).astype(numpy.uint8)), numpy.asarray(ink)


def centred(ink):
    """As MNIST has it: fitted into 20 x 20 pixels, the centre of mass in the middle of 28 x 28."""
    cut = ink[numpy.ix_((ink > 25).any(1).nonzero()[0], (ink > 25).any(0).nonzero()[0])]
    size = [max(1, round(20 * n / max(cut.shape))) for n in cut.shape[::-1]]
    digit = numpy.asarray(Image.fromarray(cut).resize(size, Image.BOX if max(cut.shape) > 20 else Image.BICUBIC))
    whole = numpy.zeros((68, 68), numpy.uint8)
    whole[20 : 20 + digit.shape[0], 20 : 20 + digit.shape[1]] = digit
    y, x = (round(float((whole.sum(1 - axis) * numpy.arange(68)).sum() / whole.sum()) - 13.5) for axis in (0, 1))
    return whole[y : y + 28, x : x + 28]


def classes(model, *arguments, names=None):
    program = os.environ.get("HANDGRAD", "build/handgrad")
    done = subprocess.run([program, "predict", model, *arguments, "--json"], input=names, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr.strip())
    return numpy.array([json.loads(line)["class"] for line in done.stdout.splitlines()])


def classes_one_by_one(model, paths):
    """A picture that is refused counts as wrong."""
    found = []
    while len(found) < len(paths):
        names = "".join(f"{path}\n" for path in paths[len(found) :])
        program = os.environ.get("HANDGRAD", "build/handgrad")
        done = subprocess.run([program, "predict", model, "-", "--json"], input=names, capture_output=True, text=True)
        found += [json.loads(line)["class"] for line in done.stdout.splitlines()]
        if done.returncode != 0:
            print(done.stderr.strip())
            found.append(-1)
    return numpy.array(found)


def main():
    if len(sys.argv) not in (2, 3, 4):
        sys.exit(__doc__)
    model = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    images, labels = read_idx("t10k-images-idx3-ubyte"), read_idx("t10k-labels-idx1-ubyte")
    random = numpy.random.default_rng(1)
    chosen = random.choice(len(images), count, replace=False)
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(sys.argv[3] if len(sys.argv) > 3 else scratch)
        folder.mkdir(exist_ok=True)
        pictures, scaled, inks = [], [], []
        for i in chosen:
            picture, ink = picture_of(images[i], random)
            inks.append(centred(ink))
            pictures.append(folder / f"{i}-is-{labels[i]}.jpg")
            picture.save(pictures[-1], quality=30)
            scaled.append(folder / f"{i}-scaled.png")
            light = numpy.asarray(picture).mean() > 128
            small = numpy.asarray(Image.open(pictures[-1]).resize((28, 28), Image.BOX))
            Image.fromarray(255 - small if light else small).save(scaled[-1])
        idx, idx_of_inks = folder / "chosen-idx3-ubyte", folder / "inks-idx3-ubyte"
        for file, digits in (idx, images[chosen]), (idx_of_inks, numpy.stack(inks)):
            file.write_bytes(struct.pack(">IIII", 0x803, count, 28, 28) + digits.tobytes())
        found = classes_one_by_one(model, pictures)
        rows = {
            "as IDX": classes(model, idx),
            "as IDX, but changed": classes(model, idx_of_inks),
            "as pictures": found,
            "as pictures only scaled": classes(model, "-", "--as-is", names="".join(f"{path}\n" for path in scaled)),
        }
        for path, called, label in zip(pictures, found, labels[chosen]):
            if called != label:
                print(f"{path.name} is called {called}")
        for name, called in rows.items():
            print(f"{name:<24} {100 * (called == labels[chosen]).mean():6.2f} %")


main()
