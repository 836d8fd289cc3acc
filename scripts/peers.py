#!/usr/bin/env python3
"""Times a training step of the default network (784-20-7-5-10, batch 32) in Python's PyTorch and in scikit-learn.

Prints "name<tab>microseconds" for each that is installed. One thread, shuffled batches, L2 on all parameters, as many
images as the argument says (default 48000); their values do not change the time.
"""
import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"):
    os.environ[variable] = "1"

import sys
import time

IMAGES = int(sys.argv[1]) if len(sys.argv) > 1 else 48000
BATCH = 32
STEPS = -(-IMAGES // BATCH)
RATE, L2 = 0.009, 0.01


def microseconds_per_step(run):
    begin = time.perf_counter()
    run()
    return (time.perf_counter() - begin) * 1e6 / STEPS


def pytorch():
    import torch

    torch.set_num_threads(1)
    images = torch.rand(IMAGES, 784)
    labels = torch.randint(0, 10, (IMAGES,))
    widths = (784, 20, 7, 5, 10)
    layers = []
    for fan_in, fan_out in zip(widths, widths[1:]):
        layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, weight_decay=L2 / BATCH)

    def epoch():
        for chosen in torch.randperm(IMAGES).split(BATCH):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images[chosen]), labels[chosen]).backward()
            optimizer.step()

    epoch()
    return f"Python PyTorch {torch.__version__.split('+')[0]}", microseconds_per_step(epoch)


def scikit_learn():
    import numpy
    import sklearn
    from sklearn.neural_network import MLPClassifier

    random = numpy.random.default_rng(1)
    images = random.random((IMAGES, 784), dtype=numpy.float32)
    labels = random.integers(0, 10, IMAGES)
    model = MLPClassifier((20, 7, 5), solver="sgd", alpha=L2, batch_size=BATCH, learning_rate_init=RATE, momentum=0)
    model.partial_fit(images, labels, classes=range(10))
    return f"scikit-learn {sklearn.__version__}", microseconds_per_step(lambda: model.partial_fit(images, labels))


for peer in (pytorch, scikit_learn):
    try:
        name, time_per_step = peer()
        print(f"{name}\t{time_per_step:.1f}", flush=True)
    except ImportError:
        pass  # not installed: nothing to compare with
