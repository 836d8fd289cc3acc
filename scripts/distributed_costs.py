#!/usr/bin/env python3
"""What it costs that processes add up their gradients: the model of docs/distributed.md, as a table, and as a picture.

Arguments: [PICTURE.svg], or --measure, which says what two processes of this machine take to swap messages over Gloo (needs PyTorch for
Python). A message of b bytes takes α + β b seconds (Hockney, 1994). Each of P processes computes 1/P of a step, and all add
up n bytes of gradients (Thakur, Rabenseifner and Gropp, 2005):
  gather:  every part to everyone, around a ring          (P − 1) (α + β n)
  ring:    sums of a Pth part each, and back              2 (P − 1) α + 2 (P − 1)/P β n
  tree:    all of it along a tree, and back               2 log₂P (α + β n)
  halves:  sums of halves, of halves of these, and back   2 log₂P α + 2 (P − 1)/P β n
  whole:   all of it between neighbours, theirs, …        log₂P (α + β n)
handgrad takes the last for two processes and for few numbers (core/nn/shards.cpp), else halves.
Neither the reading of data nor the update of the parameters, which every process does for itself, is counted, nor that smaller parts of a
batch are computed less efficiently: a bound from above.
"""
import math
import multiprocessing
import statistics
import sys
import time

FLOAT = 4
FEW_NUMBERS = 1 << 16
RANKS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]


def parameters(widths):
    return sum((fan_in + 1) * fan_out for fan_in, fan_out in zip(widths, widths[1:]))


# Widths, batch size, and milliseconds of a step by one process, measured on a core of an AMD EPYC like α and β.
NETWORKS = {
    "784-20-7-5-10, batch 32": ([784, 20, 7, 5, 10], 32, 0.15),
    "784-800-800-10, batch 128": ([784, 800, 800, 10], 128, 17.0),
    "784-1024-1024-10, batch 512": ([784, 1024, 1024, 10], 512, 82.0),
}
# α in seconds and β in seconds per byte. The first is measured (docs/distributed.md); the others are what such networks promise.
LINKS = {"loopback": (230e-6, 1 / 0.65e9), "10 Gbit/s": (30e-6, 1 / 1.1e9), "100 Gbit/s": (5e-6, 1 / 11e9)}
WAYS = {
    "gather": lambda p, n, a, b: (p - 1) * (a + b * n),
    "ring": lambda p, n, a, b: 2 * (p - 1) * a + 2 * (p - 1) / p * b * n,
    "tree": lambda p, n, a, b: 2 * math.log2(p) * (a + b * n),
    "halves": lambda p, n, a, b: 2 * math.log2(p) * a + 2 * (p - 1) / p * b * n,
    "whole": lambda p, n, a, b: math.log2(p) * (a + b * n),
    "handgrad": lambda p, n, a, b: WAYS["whole" if p == 2 or n < FEW_NUMBERS * FLOAT else "halves"](p, n, a, b),
}


def ranks_of(network):
    """As many as there are images of a batch at most."""
    return [ranks for ranks in RANKS if ranks <= NETWORKS[network][1]]


def speedup(network, link, way, ranks):
    widths, _, milliseconds = NETWORKS[network]
    alone = milliseconds / 1000
    return alone / (alone / ranks + WAYS[way](ranks, parameters(widths) * FLOAT, *LINKS[link]))


def table():
    yield "| network | link | way | " + " | ".join(map(str, RANKS)) + " |"
    yield "|---|---|---|" + "---:|" * len(RANKS)
    for network in NETWORKS:
        for link in LINKS:
            for way in WAYS:
                values = " | ".join(f"{speedup(network, link, way, ranks):.2g}" if ranks in ranks_of(network) else "" for ranks in RANKS)
                yield f"| {network} | {link} | {way} | {values} |"


def picture():
    """Speed over ranks, both by factors of two, as handgrad adds up: a frame for each link."""
    size, left, top, gap = 250, 80, 40, 70
    least, most = -7, 9  # exponents of two of the speed
    colours = ["#b3541e", "#2b6cb0", "#2f855a"]
    width, height = left + len(LINKS) * (size + gap), top + size + 100

    def x(frame, ranks):
        return left + frame * (size + gap) + math.log2(ranks) / math.log2(RANKS[-1]) * size

    def y(speed):
        return top + size * (most - max(least, math.log2(speed))) / (most - least)

    yield (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12" role="img" '
           f'aria-label="Speed of a training step over the number of processes, by a model">')
    yield f'<rect width="{width}" height="{height}" fill="white"/>'
    for frame, link in enumerate(LINKS):
        yield f'<rect x="{x(frame, 1):.0f}" y="{top}" width="{size}" height="{size}" fill="none" stroke="#888"/>'
        yield f'<text x="{x(frame, 1) + size / 2:.0f}" y="{top - 12}" text-anchor="middle" font-weight="bold">{link}</text>'
        for ranks in RANKS[::3]:
            yield f'<text x="{x(frame, ranks):.0f}" y="{top + size + 16}" text-anchor="middle">{ranks}</text>'
        for exponent in range(-6, most + 1, 3):
            label = f"{2 ** exponent}" if exponent >= 0 else f"1/{2 ** -exponent}"
            yield f'<text x="{x(frame, 1) - 6:.0f}" y="{y(2 ** exponent) + 4:.0f}" text-anchor="end">{label}</text>'
        yield f'<text x="{x(frame, 1) + size / 2:.0f}" y="{top + size + 34}" text-anchor="middle" fill="#555">processes</text>'
        yield (f'<path d="M{x(frame, 1):.1f} {y(1):.1f} L{x(frame, RANKS[-1]):.1f} {y(RANKS[-1]):.1f}" stroke="#888" '
               f'stroke-dasharray="4 4" fill="none"/>')
        for network, colour in zip(NETWORKS, colours):
            points = " ".join(f"{x(frame, ranks):.1f},{y(speedup(network, link, 'handgrad', ranks)):.1f}" for ranks in ranks_of(network))
            yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
    middle = top + size / 2
    yield (f'<text x="20" y="{middle:.0f}" text-anchor="middle" fill="#555" transform="rotate(-90 20 {middle:.0f})">'
           f'times as fast as one process</text>')
    for place, (network, colour) in enumerate(zip(NETWORKS, colours)):
        at = left + place * 250
        yield f'<path d="M{at} {height - 22} h24" stroke="{colour}" stroke-width="2"/>'
        yield f'<text x="{at + 30}" y="{height - 18}">{network}</text>'
    yield f'<text x="{left + len(NETWORKS) * 250}" y="{height - 18}" fill="#555">dashed: P times as fast</text>'
    yield "</svg>"


def swap_messages(rank):
    import torch
    import torch.distributed as processes

    torch.set_num_threads(1)
    processes.init_process_group("gloo", init_method="tcp://127.0.0.1:29950", rank=rank, world_size=2)
    for numbers in [1, 16384, 262144, parameters(NETWORKS["784-1024-1024-10, batch 512"][0])]:
        given, taken = torch.zeros(numbers), torch.zeros(numbers)
        seconds = []
        for _ in range(200):
            begin = time.perf_counter()
            sending = processes.isend(given, 1 - rank)
            processes.irecv(taken, 1 - rank).wait()
            sending.wait()
            seconds.append(time.perf_counter() - begin)
        if rank == 0:
            print(f"{numbers * FLOAT} bytes: median {1e6 * statistics.median(seconds):.0f} µs")


def measure():
    other = multiprocessing.Process(target=swap_messages, args=(1,))
    other.start()
    swap_messages(0)
    other.join()


if sys.argv[1:] == ["--measure"]:
    measure()
else:
    print("\n".join(table()))
    if len(sys.argv) > 1:
        with open(sys.argv[1], "w", encoding="utf-8") as file:
            file.write("\n".join(picture()) + "\n")
