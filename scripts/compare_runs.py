#!/usr/bin/env python3
"""Whether two folders hold the same trainings: says the first difference of each pair of files, and exits with 1 if there is one.

Apart from times, and from the version of the program, files must be the same: bytes, or the values of JSON, CSV and safetensors.
"""
import csv
import json
import pathlib
import struct
import sys

times = {"seconds", "microseconds_per_step", "nanoseconds", "training_nanoseconds", "version", "date"}


def without_times(value):
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key not in times}
    if isinstance(value, list):
        return [without_times(item) for item in value]
    return value


def read_safetensors(path):
    file = path.read_bytes()
    (size,) = struct.unpack("<Q", file[:8])
    header = json.loads(file[8 : 8 + size])
    # The checksum covers the times.
    metadata = {key: value for key, value in header.pop("__metadata__", {}).items() if "sha256" not in key}
    tensors = {}
    for name, entry in header.items():
        if name in times:
            continue
        begin, end = entry["data_offsets"]
        tensors[name] = (entry["dtype"], entry["shape"], file[8 + size + begin : 8 + size + end])
    return without_times(metadata), tensors


def read(path):
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    if path.suffix == ".json":
        return without_times(json.loads(path.read_text()))
    if path.suffix == ".jsonl":
        return [without_times(json.loads(line)) for line in path.read_text().splitlines()]
    if path.suffix == ".csv":
        return [without_times(row) for row in csv.DictReader(path.read_text().splitlines())]
    return path.read_bytes()


def files_of(folder):
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


old, new = map(pathlib.Path, sys.argv[1:])
differences = [f"{path}: in one of the two only" for path in sorted(files_of(old) ^ files_of(new))]
same = sorted(files_of(old) & files_of(new))
if not same:
    differences.append("there is nothing to compare")
differences += [f"{path}: differs" for path in same if read(old / path) != read(new / path)]
print("\n".join(differences), end="\n" if differences else "")
sys.exit(bool(differences))
