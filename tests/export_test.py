"""Loads a run's model.pt with Python's PyTorch alone: the accuracy must be exactly what `handgrad evaluate` says, the
probabilities within 1e-5 of what `handgrad predict` says, and the parameters must fit nn.Sequential.

Argument: the handgrad program. Exits 77, "skipped", where MNIST_DIR is not set."""

import gzip
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy
import torch
from torch import nn

program = sys.argv[1]
data = os.environ.get("MNIST_DIR")
if not data:
    print("skipped: MNIST_DIR, the directory with the four MNIST files, is not set")
    sys.exit(77)


def handgrad(*arguments):
    return subprocess.run([program, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def read_idx(name, header):
    path = pathlib.Path(data) / name
    content = path.read_bytes() if path.exists() else gzip.open(f"{path}.gz").read()
    return torch.from_numpy(numpy.frombuffer(content, numpy.uint8, offset=header).copy())


images = read_idx("t10k-images-idx3-ubyte", 16).view(-1, 1, 28, 28)
labels = read_idx("t10k-labels-idx1-ubyte", 8)
torch.set_num_threads(1)

for batch_norm in (False, True):
    with tempfile.TemporaryDirectory() as directory:
        run = f"{directory}/run"
        flags = ["--batch-norm"] if batch_norm else []
        handgrad("train", "--data", data, "--epochs", "2", "--out", run, *flags)
        evaluation = json.loads(handgrad("evaluate", run, "--data", data, "--json"))
        test_images = f"{directory}/images"
        pathlib.Path(test_images).write_bytes(
            bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in (len(images), 28, 28)) + images.numpy().tobytes()
        )
        lines = handgrad("predict", run, test_images, "--json").splitlines()
        ours = torch.tensor([json.loads(line)["probabilities"] for line in lines])
        model = torch.jit.load(f"{run}/model.pt")

    inputs = {
        "uint8 [N,1,28,28]": images,
        "uint8 [N,784]": images.flatten(1),
        "float [N,1,28,28]": images.float() / 255,
        "float64 [N,784]": images.flatten(1).double() / 255,
    }
    for name, pixels in inputs.items():
        with torch.no_grad():
            probabilities = model(pixels)
        accuracy = (probabilities.argmax(1) == labels).double().mean().item()
        difference = (probabilities - ours).abs().max().item()
        print(f"batch norm {batch_norm}, {name}: accuracy {accuracy}, largest difference {difference:.1e}")
        assert accuracy == evaluation["accuracy"], (accuracy, evaluation["accuracy"])
        assert difference <= 1e-5, difference

    layers = []
    for fan_in, fan_out in ((784, 20), (20, 7), (7, 5)):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()] + ([nn.BatchNorm1d(fan_out)] if batch_norm else [])
    sequential = nn.Sequential(*layers, nn.Linear(5, 10), nn.Softmax(1)).eval()
    sequential.load_state_dict(model.state_dict())
    with torch.no_grad():
        difference = (sequential(images.flatten(1) / 255) - ours).abs().max().item()
    assert difference <= 1e-5, difference
print("passed")
