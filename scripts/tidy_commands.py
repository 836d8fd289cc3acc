#!/usr/bin/env python3
"""Writes the compile commands that clang-tidy gets to build/tidy, from those of the build in build/.

Clang refuses GCC's precompiled headers, so with the path of a clang++ as the argument it gets some of its own, of the same headers;
without an argument its commands have none.
"""
import json
import pathlib
import re
import shlex
import subprocess
import sys

gcc_only = {"-fpch-preprocess", "-Winvalid-pch"}
build = pathlib.Path("build").resolve()
(build / "tidy").mkdir(exist_ok=True)

commands = []
for entry in json.loads((build / "compile_commands.json").read_text()):
    words = [word for word in shlex.split(entry["command"]) if word not in gcc_only]
    target = re.search(r"CMakeFiles/(handgrad|handgrad_core)\.dir/", entry["command"])
    if not target:
        continue
    header = build / target[0] / "cmake_pch.hxx"
    ours = build / "tidy" / f"{target[1]}.pch"
    if "c++-header" in words:
        theirs = header.with_suffix(".hxx.gch")
        if len(sys.argv) > 1 and not (ours.exists() and ours.stat().st_mtime > theirs.stat().st_mtime):
            words = words[: words.index("-x")] + ["-x", "c++-header", "-w", str(header), "-o", str(ours)]
            subprocess.run([sys.argv[1], *words[1:]], cwd=entry["directory"], check=True)
        continue
    if "-include" in words:
        at = words.index("-include")
        words[at : at + 2] = ["-include-pch", str(ours)] if len(sys.argv) > 1 else []
    commands.append({"directory": entry["directory"], "file": entry["file"], "arguments": words})
(build / "tidy" / "compile_commands.json").write_text(json.dumps(commands, indent=1))
