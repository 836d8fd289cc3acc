#!/usr/bin/env python3
"""Checks that the rooms of core/ and app/ include downwards only, that autograd enters core/check alone, and c10d and libxsmm few files.

The rooms stand in the CMakeLists.txt of core/ and app/, from the bottom to the top.
"""
import pathlib
import re
import sys

# A TorchScript module can be asked for gradients, but what trains never sees one.
without_autograd = {"torch/script.h", "torch/version.h"}
of_processes = ("process_group.cpp", "process_store.cpp", "between_gpus.cpp")
root = pathlib.Path(__file__).resolve().parent.parent
faults = []


def rooms_of(top):
    return re.findall(r"^add_subdirectory\((\w+)\)", (root / top / "CMakeLists.txt").read_text(), re.MULTILINE)


for top, prefix in (("core", "handgrad/"), ("app", "")):
    rooms = rooms_of(top)
    for path in sorted(path for room in rooms for path in (root / top / room).rglob("*") if path.suffix in (".h", ".cpp")):
        room = path.relative_to(root / top).parts[0]
        for included in re.findall(r"^#include [\"<]([^\">]+)[\">]", path.read_text(encoding="utf-8"), re.MULTILINE):
            other = included.removeprefix(prefix).split("/")[0] if included.startswith(prefix) else ""
            if other in rooms and rooms.index(other) > rooms.index(room):
                faults.append(f"{path.relative_to(root)}: includes {included}, of a room above {room}")
            if included.startswith("libxsmm") and path.name != "small_products.cpp":
                faults.append(f"{path.relative_to(root)}: includes {included}; only core/platform/small_products.cpp may")
            if included.startswith("torch/csrc/distributed/"):
                if path.name not in of_processes:
                    faults.append(f"{path.relative_to(root)}: includes {included}; only {', '.join(of_processes)} of core/platform may")
                continue
            if included.startswith("torch/") and included not in without_autograd and (top, room) != ("core", "check"):
                faults.append(f"{path.relative_to(root)}: includes {included}, which brings autograd; only core/check may")
for fault in faults:
    print(fault, file=sys.stderr)
sys.exit(bool(faults))
