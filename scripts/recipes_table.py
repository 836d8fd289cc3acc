#!/usr/bin/env python3
"""Prints a Markdown row for each sweep of a recipe that scripts/recipes.sh ran: arguments NAME=DIR, where DIR/results.csv is the
sweep's and DIR.txt what it said. Mean and interval are those that `handgrad sweep` printed."""
import csv
import pathlib
import re
import statistics
import sys

print("| recipe | seeds | validation % | test %, mean ± half of its 95 % interval | from … to | s a training |")
print("|---|---:|---:|---:|---:|---:|")
for argument in sys.argv[1:]:
    name, _, directory = argument.partition("=")
    with open(pathlib.Path(directory) / "results.csv", encoding="utf-8") as file:
        runs = list(csv.DictReader(file))
    said = pathlib.Path(directory + ".txt").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^{re.escape(name)}  +(.*)$", said, re.MULTILINE)
    seeds, validation, test, _ = re.split("  +", row.strip())
    accuracies = [100 * float(run["test_accuracy"]) for run in runs]
    seconds = statistics.median(float(run["seconds"]) for run in runs)
    print(f"| `{name}` | {seeds} | {validation} | {test} | {min(accuracies):.2f} to {max(accuracies):.2f} | {seconds:.0f} |")
