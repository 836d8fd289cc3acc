#!/usr/bin/env python3
"""Checks that sources which a unity build compiles as one give no name of their own twice, nor one that a header has for a type.

A compiler says the same after minutes. Argument: the build's folder, configured. Functions may share a name where their
parameters differ. What is read is laid out by clang-format.
"""
import collections
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent
own = re.compile(r"^namespace \{\n(.*?)^\}  // namespace$", re.MULTILINE | re.DOTALL)
definitions = [
    re.compile(r"^(?:struct|class|enum class) (\w+)", re.MULTILINE),
    re.compile(r"^(?:const|constexpr|thread_local|std::)[^()={]*?\b(\w+)(?:\[\w*\])? ?(?:=|\{|;)", re.MULTILINE),
]
function = re.compile(r"^(?!template|using|struct|class|enum)\w[\w:<>,&*\[\] ]*? \*?&?(\w+)\(([^{};]*?)\) \{", re.MULTILINE)


def types_of(parameters):
    """Of 'const torch::Tensor& a, int b': 'Tensor, int'."""
    types = []
    for parameter in re.split(r",(?![^<(]*[>)])", " ".join(parameters.split())):
        written = re.sub(r"/\*.*?\*/| = .*|\bconst |\b(?:torch|at|std|handgrad)::", "", parameter).strip()
        named = re.match(r"(.*[ &*>])\w+$", written)
        types.append((named.group(1) if named else written).strip(" &"))
    return ", ".join(types)


def names_in(text):
    for body in own.findall(text):
        for definition in definitions:
            yield from definition.findall(body)
        for name, parameters in function.findall(body):
            yield f"{name}({types_of(parameters)})"


types_of_headers = {}
for room in ("app", "core"):
    for header in sorted((root / room).rglob("*.h")):
        for name in re.findall(r"^(?:struct|class|enum class) (\w+)[^;]*?\{", header.read_text(encoding="utf-8"), re.MULTILINE):
            types_of_headers[name] = header

build = pathlib.Path(sys.argv[1])
units = sorted(build.rglob("Unity/unity_*.cxx"))
if not units:
    sys.exit(f"check_names.py: no unity build in {build}; run: cmake --preset sanitize")
faults = []
for unit in units:
    places = collections.defaultdict(list)
    for path in map(pathlib.Path, re.findall(r'^#include "(.*)"$', unit.read_text(encoding="utf-8"), re.MULTILINE)):
        for name in sorted(set(names_in(path.read_text(encoding="utf-8")))):
            places[name].append(path)
    for name, paths in places.items():
        if name in types_of_headers:
            paths = paths + [types_of_headers[name]]
        if len(paths) > 1:
            files = " and in ".join(str(path.resolve().relative_to(root)) for path in paths)
            faults.append(f"{name}: defined in {files}; give one of them another name")
for fault in faults:
    print(fault, file=sys.stderr)
sys.exit(bool(faults))
