#!/usr/bin/env bash
# Checks that the CUDA part compiles, without a GPU: core/cuda.cpp against the headers of the LibTorch that the build found and of
# a CUDA toolkit. Argument: the compile_commands.json of a build [build/compile_commands.json]. Exit code 77, and a line that says
# so, where there is no toolkit or no such LibTorch.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
commands=$(realpath -- "${1:-$(dirname "${BASH_SOURCE[0]}")/../build/compile_commands.json}")
[[ -f $commands ]] || fail "no $commands; configure the build first"
skip() {
  say "skipped: $*"
  exit 77
}

toolkit=''
for place in "${CUDA_HOME-}" "$(dirname "$(dirname "$(command -v nvcc || true)")")" /usr/local/cuda /usr; do
  if [[ -n $place && -f $place/include/cuda_runtime.h ]]; then
    toolkit=$place/include
    break
  fi
done
[[ -n $toolkit ]] || skip "no CUDA toolkit here (no cuda_runtime.h)"

mapfile -d '' -t command < <(python3 - "$commands" <<'END_OF_PYTHON'
import json, shlex, sys

entry = next(e for e in json.load(open(sys.argv[1])) if e["file"].endswith("/core/cuda.cpp"))
# Without the output, the dependency file and the precompiled header, which is of other definitions.
words = shlex.split(entry["command"])
kept, skipped = [], 0
for i, word in enumerate(words):
    if skipped:
        skipped -= 1
    elif word in ("-o", "-MT", "-MF", "-include"):
        skipped = 1
    elif word not in ("-c", "-MD", "-Winvalid-pch", "-fpch-preprocess"):
        kept.append(word)
print("\0".join(kept), end="\0")
END_OF_PYTHON
)
# Some packages of LibTorch leave out a header that CMake made for a CUDA build; this stands in for it.
flags=(-fsyntax-only -DHANDGRAD_CUDA -DC10_CUDA_NO_CMAKE_CONFIGURE_FILE -isystem "$toolkit")
printf '#include <ATen/cuda/CUDAGraph.h>\n' | g++ -std=c++17 "${flags[@]}" -x c++ - 2>/dev/null ||
  skip "this LibTorch has no CUDA headers that go with the toolkit in $toolkit"
"${command[@]}" "${flags[@]}" || fail "core/cuda.cpp does not compile with CUDA"
say "core/cuda.cpp compiles against the CUDA headers in $toolkit"
