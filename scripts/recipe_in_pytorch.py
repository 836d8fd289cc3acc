#!/usr/bin/env python3
"""Trains a recipe of scripts/recipes in Python's PyTorch, with autograd: RECIPE.toml SEED. Data: MNIST_DIR.

Prints "PyTorch VERSION<tab>seconds<tab>test accuracy in %". The seconds are those of training and augmentation, on all cores that
the process has; reading and deskewing the images come before. A key that it would train otherwise than handgrad is refused.
"""
import gzip
import math
import os
import pathlib
import sys
import time
import tomllib

import numpy
import torch
from torch import nn
from torch.nn import functional

BOUNDS = {"none": (0, 0, 0, 0, 0), "light": (7, 0.08, 0.08, 1, 0), "medium": (10, 0.10, 0.10, 1.5, 0.5), "strong": (15, 0.12, 0.15, 2, 1.2)}
FIXED = {"batch_norm": "before", "optimizer": "nesterov", "schedule": "cosine", "weight_decay_on": "weights", "validation_fraction": 0, "patience": "none"}
KNOWN = {"hidden", "deskew", "augment", "augment_final", "learning_rate", "weight_decay", "batch_size", "warmup", "epochs", "evaluate_every"}


def read_recipe(file):
    with open(file, "rb") as stream:
        recipe = tomllib.load(stream)["fixed"]
    for key, value in recipe.items():
        if key not in KNOWN and FIXED.get(key) != value:
            sys.exit(f"{file}: {key} = {value} is not in this script")
    return {**FIXED, **recipe}


def read_idx(name, header):
    path = pathlib.Path(os.environ["MNIST_DIR"]) / name
    content = path.read_bytes() if path.exists() else gzip.open(f"{path}.gz").read()
    return numpy.frombuffer(content, numpy.uint8, offset=header)


def read_images(part, deskew):
    pixels = read_idx(f"{part}-images-idx3-ubyte", 16).reshape(-1, 28, 28)
    images = torch.from_numpy(pixels.astype(numpy.float32) / 255)
    return upright(images) if deskew else images, torch.from_numpy(read_idx(f"{part}-labels-idx1-ubyte", 8).astype(numpy.int64))


def upright(images):
    """By second moments, in units of half an image from its middle."""
    place = torch.linspace(-1, 1, 28)
    share = images / images.sum((1, 2), keepdim=True).clamp(min=1e-6)
    x, y = (share.sum(1) * place).sum(1), (share.sum(2) * place).sum(1)
    xy = (share * place * place.unsqueeze(1)).sum((1, 2)) - x * y
    yy = (share.sum(2) * place**2).sum(1) - y * y
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    maps = torch.stack([one, (xy / yy).clamp(-1, 1), x, zero, one, y], 1).view(-1, 2, 3)
    grid = functional.affine_grid(maps, [len(images), 1, 28, 28], align_corners=True)
    return functional.grid_sample(images.unsqueeze(1), grid, align_corners=True).squeeze(1)


class Augmenter:
    """A batch at once, by grid_sample; the noise of the elastic part is smoothed by the Gaussians of handgrad's."""

    def __init__(self, bounds):
        self.rotation, self.scale, self.shear, self.shift, self.elastic = bounds
        nodes = torch.linspace(0, 27, 8)
        weights = torch.exp(-(((torch.arange(28.0).unsqueeze(1) - nodes) / 4) ** 2) / 2)
        self.smooth = weights / weights.norm(dim=1, keepdim=True)

    def __call__(self, images, strength):
        count = len(images)

        def up_to(bound):
            return (2 * torch.rand(count) - 1) * (bound * strength)

        angle, shear = torch.deg2rad(up_to(self.rotation)), up_to(self.shear)
        from_x, from_y = torch.exp(-up_to(self.scale)), torch.exp(-up_to(self.scale))
        cosine, sine = torch.cos(angle), torch.sin(angle)
        x = torch.stack([(cosine - shear * sine) * from_x, (-sine - shear * cosine) * from_x, up_to(self.shift) / 13.5], 1)
        y = torch.stack([sine * from_y, cosine * from_y, up_to(self.shift) / 13.5], 1)
        grid = functional.affine_grid(torch.stack([x, y], 1), [count, 1, 28, 28], align_corners=True)
        if self.elastic > 0:
            noise = torch.randn(count, 2, 8, 8) * (self.elastic * strength / math.sqrt(2) / 13.5)
            grid = grid + (self.smooth @ noise @ self.smooth.t()).permute(0, 2, 3, 1)
        return functional.grid_sample(images.unsqueeze(1), grid, padding_mode="zeros", align_corners=True)


def network(hidden):
    widths = [784, *map(int, hidden.split(","))]
    layers = [nn.Flatten()]
    for fan_in, fan_out in zip(widths, widths[1:]):
        layers += [nn.Linear(fan_in, fan_out), nn.BatchNorm1d(fan_out), nn.ReLU()]
    layers.append(nn.Linear(widths[-1], 10))
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)


def main(file, seed):
    recipe = read_recipe(file)
    torch.manual_seed(seed)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    images, labels = read_images("train", recipe.get("deskew", False))
    batch, epochs = recipe["batch_size"], recipe["epochs"]
    per_epoch = -(-len(images) // batch)
    warmup = recipe.get("warmup", "0ep")
    warm = int(warmup.removesuffix("ep")) * (per_epoch if warmup.endswith("ep") else 1)
    model = network(recipe["hidden"])
    weights = [p for p in model.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": weights, "weight_decay": recipe["weight_decay"]}, {"params": others}]
    optimizer = torch.optim.SGD(groups, lr=recipe["learning_rate"], momentum=0.9, nesterov=True, foreach=True)

    def fall(step):
        return (1 + math.cos(math.pi * max(step - warm, 0) / max(epochs * per_epoch - warm, 1))) / 2

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: (s + 1) / warm if s < warm else fall(s))
    augment = Augmenter(BOUNDS[recipe["augment"]])
    final = recipe.get("augment_final", 1)
    begin = time.perf_counter()
    for epoch in range(epochs):
        strength = final + (1 - final) * fall(epoch * per_epoch)
        for chosen in torch.randperm(len(images)).split(batch):
            with torch.no_grad():
                batch_images = augment(images[chosen], strength)
            optimizer.zero_grad(set_to_none=True)
            functional.cross_entropy(model(batch_images), labels[chosen]).backward()
            optimizer.step()
            schedule.step()
    seconds = time.perf_counter() - begin
    model.eval()
    test_images, test_labels = read_images("t10k", recipe.get("deskew", False))
    with torch.no_grad():
        right = (model(test_images).argmax(1) == test_labels).float().mean().item()
    print(f"PyTorch {torch.__version__}\t{seconds:.2f}\t{100 * right:.2f}")


main(sys.argv[1], int(sys.argv[2]))
