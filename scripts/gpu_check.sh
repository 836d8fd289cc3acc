#!/usr/bin/env bash
# Builds handgrad against the PyTorch of this machine's Python, runs all unit tests, and measures it on a GPU. Downloads nothing.
# Arguments: a folder with include/ and lib/ of the libraries that the machine lacks, or "" [""]; where gpu.json goes
# [build/gpu/gpu.json]; the device [cuda], cpu to rehearse without a GPU.
# Needs Python with PyTorch 2.4 or newer, CMake, Ninja, a C++ compiler and, for a GPU, its CUDA toolkit. Builds in build/gpu.
# MNIST_DIR names the data; without it, generated digits of the same size serve.
set -euo pipefail
cd -- "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh
libraries=${1:-}
output=${2:-build/gpu/gpu.json}
device=${3:-cuda}
data=${MNIST_DIR:-synthetic}
python=${PYTHON:-python3}
[[ -z $libraries || -d $libraries ]] || fail "$libraries is no folder; name one with include/ and lib/, or \"\""
if [[ -n $libraries ]]; then libraries=$(realpath -- "$libraries"); fi

build=build/gpu
runs=$build/runs
rm -rf "$runs"
mkdir -p "$runs" "$(dirname "$output")"

stage() {
  local start=$SECONDS
  "${@:2}" || fail "$1 failed after $((SECONDS - start)) s"
  say "$1: $((SECONDS - start)) s"
}

torch=$("$python" -c 'import torch; print(torch.utils.cmake_prefix_path)') || fail "$python has no PyTorch"
configure() {
  quietly cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DHANDGRAD_TESTS=ON -DHANDGRAD_REPORTS=OFF \
    "-DCMAKE_PREFIX_PATH=$torch${libraries:+;$libraries;$libraries/usr}"
}
stage "configure" configure
stage "build" quietly cmake --build "$build"
handgrad=$build/handgrad
if [[ $device != cpu ]]; then
  "$handgrad" doctor | grep 'CUDA.*GPU(s)' || fail "handgrad sees no GPU: $("$handgrad" doctor | grep CUDA)"
fi

# The rest writes what it finds, failures too: a machine is lent for minutes, and every figure counts.
check() {
  local name=$1 status=0 start=$SECONDS
  "${@:2}" >"$runs/$name.txt" 2>&1 || status=$?
  printf '%s\t%s\n' "$name" "$status" >>"$runs/status.tsv"
  say "$name: exit code $status, $((SECONDS - start)) s"
}
train() {
  "$handgrad" train --data "$data" --device "$device" "${@:2}" --out "$runs/$1"
}
same() {
  cmp "$runs/$1/metrics.jsonl" "$runs/$2/metrics.jsonl" && cmp "$runs/$1/model.pt" "$runs/$2/model.pt"
}
check tests "$build/handgrad_tests"
for norm in "" --batch-norm; do
  check "gradcheck$norm" "$handgrad" gradcheck --device "$device" $norm --json "$runs/gradcheck$norm.json"
done
check bench "$handgrad" bench --device "$device" --brief --json "$runs/bench.json"
check same_seed_a train a --epochs 3 --batch-norm --optimizer adam --learning-rate 0.001
check same_seed_b train b --epochs 3 --batch-norm --optimizer adam --learning-rate 0.001
check same_bits same a b
if [[ $device != cpu ]]; then
  check without_graph train c --epochs 3 --batch-norm --optimizer adam --learning-rate 0.001 --no-cuda-graph
  check same_bits_without_graph same a c
fi
replicas=1024
if [[ $device == cpu ]]; then replicas=4; fi
# Experiment 3 of the described ones: batch 32, λ 0.01, no batch norm, 100 epochs; without early stopping.
check ensemble train ensemble --replicas "$replicas" --batch-size 32 --l2 0.01 --epochs 100 --patience 1000
if command -v compute-sanitizer >/dev/null && [[ $device != cpu ]]; then
  check memcheck compute-sanitizer --tool memcheck --error-exitcode 9 "$handgrad" train --data synthetic --device "$device" \
    --hidden 4 --epochs 1 --validation-fraction 0.9 --out "$runs/memcheck"
fi

"$python" - "$runs" "$output" "$device" "$replicas" <<'END_OF_PYTHON'
import json, pathlib, subprocess, sys

runs, output, device, replicas = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])


def read(name):
    path = runs / name
    return json.loads(path.read_text()) if path.exists() else None


status = dict(line.split("\t") for line in (runs / "status.tsv").read_text().splitlines())
bench, ensemble = read("bench.json"), read("ensemble/summary.json")
figures = {"device": device, "replicas": replicas, "exit_codes": {name: int(code) for name, code in status.items()}}
if bench:
    of = bench["batch_32"]
    figures |= {"processor": bench["processor"], "libtorch": bench["libtorch"], "step_us": of["step_us"],
                "step_us_range": of["step_us_range"], "step_without_graph_us": of["step_alone_us"],
                "autograd_us": of["autograd_us"], "per_replica_us": of["replica_us"]}
for norm in ("", "--batch-norm"):
    if report := read(f"gradcheck{norm}.json"):
        of_network = [c["autograd_error"] for c in report["checks"] if c["pair"].startswith("network")]
        figures[f"gradcheck{norm}"] = {"passed": report["passed"], "largest_error_of_network": max(of_network)}
if ensemble:
    accuracies = [r["test"]["accuracy"] for r in ensemble["replicas"]]
    figures |= {"ensemble_seconds": ensemble["seconds"], "ensemble_steps": ensemble["steps"],
                "ensemble_us_per_replica_and_step": ensemble["microseconds_per_step"] / replicas,
                "ensemble_mean_test_accuracy": sum(accuracies) / len(accuracies)}
pathlib.Path(output).write_text(json.dumps(figures, indent=2) + "\n")
print(json.dumps(figures, indent=2))
sys.exit(any(code != "0" for code in status.values()))
END_OF_PYTHON
