#!/usr/bin/env python3
"""Times a training step of the default network (784-20-7-5-10, batch 32) in Python's PyTorch and in scikit-learn.

usage: peers.py [IMAGES [THREADS]]

Prints "name<tab>microseconds" for each that is installed. Shuffled batches, L2 on all parameters, so many images (default
48000); their values do not change the time. With THREADS: of a wide network instead (784-800-800-10, batch 128), in PyTorch
alone, in the fastest of the ways that it has: operation by operation, with the optimizer's own for all tensors, compiled.
"""
import os
import sys

WIDE = len(sys.argv) > 2
THREADS = int(sys.argv[2]) if WIDE else 1
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"):
    os.environ[variable] = str(THREADS)

import time

IMAGES = int(sys.argv[1]) if len(sys.argv) > 1 else 48000
HIDDEN = (800, 800) if WIDE else (20, 7, 5)
BATCH = 128 if WIDE else 32
STEPS = -(-IMAGES // BATCH)
RATE, L2 = 0.009, 0.01


def microseconds_per_step(run):
    begin = time.perf_counter()
    run()
    return (time.perf_counter() - begin) * 1e6 / STEPS


def pytorch_epoch(threads=1, foreach=False, compiled=False):
    """An epoch of training. threads: of PyTorch's own, beside those of the BLAS."""
    import torch

    torch.set_num_threads(threads)
    images = torch.rand(IMAGES, 784)
    labels = torch.randint(0, 10, (IMAGES,))
    widths = (784, *HIDDEN, 10)
    layers = []
    for fan_in, fan_out in zip(widths, widths[1:]):
        layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, weight_decay=L2 / BATCH, foreach=foreach)

    def loss(chosen):
        return torch.nn.functional.cross_entropy(model(images[chosen]), labels[chosen])

    if compiled:
        loss = torch.compile(loss)

    def epoch():
        for chosen in torch.randperm(IMAGES).split(BATCH):
            optimizer.zero_grad()
            loss(chosen).backward()
            optimizer.step()

    epoch()
    return epoch


def pytorch():
    import torch

    name = f"Python PyTorch {torch.__version__.split('+')[0]}"
    if not WIDE:
        return name, microseconds_per_step(pytorch_epoch())
    best = {}
    fault = None
    for threads in {1, THREADS}:
        for way in ({}, {"foreach": True}, {"foreach": True, "compiled": True}):
            try:
                best[", ".join((f"PyTorch's own threads: {threads}", *way))] = microseconds_per_step(pytorch_epoch(threads, **way))
            except Exception as error:  # this PyTorch does not have it, or nothing to compile with
                fault = error
    if not best:
        raise fault
    fastest = min(best, key=best.get)
    return f"{name} ({fastest})", best[fastest]


def scikit_learn():
    import numpy
    import sklearn
    from sklearn.neural_network import MLPClassifier

    random = numpy.random.default_rng(1)
    images = random.random((IMAGES, 784), dtype=numpy.float32)
    labels = random.integers(0, 10, IMAGES)
    model = MLPClassifier(HIDDEN, solver="sgd", alpha=L2, batch_size=BATCH, learning_rate_init=RATE, momentum=0)
    model.partial_fit(images, labels, classes=range(10))
    return f"scikit-learn {sklearn.__version__}", microseconds_per_step(lambda: model.partial_fit(images, labels))


for peer in (pytorch,) if WIDE else (pytorch, scikit_learn):
    try:
        name, time_per_step = peer()
        print(f"{name}\t{time_per_step:.1f}", flush=True)
    except ImportError:
        pass  # not installed: nothing to compare with
