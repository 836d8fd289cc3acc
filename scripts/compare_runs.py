#!/usr/bin/env python3
"""Whether two folders hold the same trainings: names the files that differ, and exits with 1 if there are any.

Arguments: the folders, and the versions of the program that wrote each. Apart from times, that version and settings that only one
version has, files must be the same: bytes, the values of JSON, CSV and safetensors, or the numbers and the code of a TorchScript archive.
"""
import csv
import json
import pathlib
import struct
import sys
import zipfile

# Settings stand in config.json, where they are compared.
left_out = {"seconds", "microseconds_per_step", "nanoseconds", "training_nanoseconds", "version", "command", "config"}


def compared(value):
    if isinstance(value, dict):
        return {key: compared(item) for key, item in value.items() if key not in left_out}
    if isinstance(value, list):
        return [compared(item) for item in value]
    return value


def read_safetensors(file):
    (size,) = struct.unpack("<Q", file[:8])
    header = json.loads(file[8 : 8 + size])
    # The checksum covers the times.
    metadata = {key: value for key, value in header.pop("__metadata__", {}).items() if key != "sha256"}
    tensors = {}
    for name, entry in header.items():
        if name in left_out:
            continue
        begin, end = entry["data_offsets"]
        tensors[name] = (entry["dtype"], entry["shape"], file[8 + size + begin : 8 + size + end])
    return compared(metadata), tensors


def without_versions(text):
    for version in versions:
        text = text.replace(version, "")
    return text


def read(path):
    if path.suffix == ".pt":
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            return {name: archive.read(name) for name in names if "/data/" in name or name.endswith(".py")}
    file = path.read_bytes()
    if path.suffix == ".safetensors":
        metadata, tensors = read_safetensors(file)
        return {key: without_versions(value) for key, value in metadata.items()}, tensors
    text = without_versions(file.decode())
    if path.suffix == ".json":
        return compared(json.loads(text))
    if path.suffix == ".jsonl":
        return [compared(json.loads(line)) for line in text.splitlines()]
    if path.suffix == ".csv":
        return [compared(row) for row in csv.DictReader(text.splitlines())]
    return file


def same(old_file, new_file):
    a, b = read(old_file), read(new_file)
    if old_file.name == "config.json":
        both = a.keys() & b.keys()
        a, b = [{key: config[key] for key in both} for config in (a, b)]
    return bool(a) and a == b


def files_of(folder):
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


old, new = map(pathlib.Path, sys.argv[1:3])
versions = sys.argv[3:]
differences = [f"{path}: in one of the two only" for path in sorted(files_of(old) ^ files_of(new))]
shared = sorted(files_of(old) & files_of(new))
if not shared:
    differences.append("there is nothing to compare")
differences += [f"{path}: differs" for path in shared if not same(old / path, new / path)]
print("\n".join(differences), end="\n" if differences else "")
sys.exit(bool(differences))
