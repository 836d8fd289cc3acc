#!/usr/bin/env bash
# Builds handgrad against the PyTorch of this machine's Python, runs the unit tests, and measures it on a GPU. Downloads nothing.
# Arguments: a folder with include/ and lib/ of the libraries that the machine lacks, or "" [""]; where gpu.json goes
# [build/gpu/gpu.json]; the device [cuda], cpu to rehearse without a GPU.
# Needs Python with PyTorch 2.4 or newer and its new C++ ABI (all packages since 2.7), CMake, Ninja, a C++ compiler and, for a GPU,
# its CUDA toolkit. Builds in build/gpu.
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

torch=$("$python" -c 'import torch; print(torch.utils.cmake_prefix_path)') || fail "$python has no PyTorch"
"$python" -c 'import sys, torch; sys.exit(not torch.compiled_with_cxx11_abi())' ||
  fail "this PyTorch has the old C++ ABI, which other libraries are not built for; take 2.7 or newer"
configure() {
  quietly cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DHANDGRAD_TESTS=ON -DHANDGRAD_REPORTS=OFF \
    "-DCMAKE_PREFIX_PATH=$torch${libraries:+;$libraries;$libraries/usr}"
}
stage "configure" configure
stage "build" quietly cmake --build "$build"
handgrad=$build/handgrad
doctor=$("$handgrad" doctor) || true  # it may complain of other things
if [[ $device != cpu ]] && ! grep 'CUDA.*GPUs\?,' <<<"$doctor"; then
  fail "handgrad sees no GPU: $(grep CUDA <<<"$doctor")"
fi

# What comes first matters most, and every check adds its figures at once: a machine is lent for minutes.
check() {
  local name=$1 status=0 start=$SECONDS limited=(timeout 200)
  if [[ $(type -t "$2") == function ]]; then limited=(); fi  # timeout runs programs only
  "${limited[@]}" "${@:2}" >"$runs/$name.txt" 2>&1 || status=$?
  printf '%s\t%s\n' "$name" "$status" >>"$runs/status.tsv"
  say "$name: exit code $status, $((SECONDS - start)) s"
  figures
}
figures() {
  "$python" - "$runs" "$output" "$device" "$replicas" "$data" <<'END_OF_PYTHON'
import json, pathlib, sys

runs, output, device, replicas = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
data = "synthetic" if sys.argv[5] == "synthetic" else "MNIST_DIR"


def read(name):
    path = runs / name
    return json.loads(path.read_text()) if path.exists() else None


status = dict(line.split("\t") for line in (runs / "status.tsv").read_text().splitlines())
bench, ensemble, memory = read("bench.json"), read("ensemble/summary.json"), read("memory.json")
figures = {"device": device, "data": data, "replicas": replicas, "exit_codes": {name: int(code) for name, code in status.items()}}
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
if memory:
    figures["ensemble_memory"] = memory
pathlib.Path(output).write_text(json.dumps(figures, indent=2) + "\n")
END_OF_PYTHON
}
check_training() {
  check "$1" "$handgrad" train --data "$data" --device "$device" "${@:2}" --out "$runs/$1"
}
# The check of that name, with the GPU's memory sampled five times a second.
watch_memory() {
  nvidia-smi "--id=$(cut -s -d : -f 2 <<<"$device:0")" --query-gpu=timestamp,memory.used --format=csv,noheader,nounits \
    --loop-ms=200 >"$runs/memory.txt" &
  local sampler=$!
  "$@"
  kill "$sampler"
}
# In its first quarter a training allocates, warms up and captures its steps; from then on, nothing may grow. When it has ended, the
# networks are measured on all images, which takes memory of its own.
flat_memory() {
  "$python" - "$runs/memory.txt" "$runs/ensemble/metrics.jsonl" "$runs/memory.json" <<'END_OF_PYTHON'
import datetime, json, pathlib, sys

samples, metrics, figures = map(pathlib.Path, sys.argv[1:])
end = metrics.stat().st_mtime  # of the last evaluation
training, after = [], []
for line in samples.read_text().splitlines():
    time, mebibytes = line.split(", ")
    taken = datetime.datetime.strptime(time, "%Y/%m/%d %H:%M:%S.%f").timestamp()
    (training if taken <= end else after).append(int(mebibytes))
if len(training) < 20:
    sys.exit(f"only {len(training)} samples: the training was too short")
quarter = len(training) // 4
early, late = max(training[quarter : 2 * quarter]), max(training[2 * quarter :])
figures.write_text(json.dumps({"second_quarter_mib": early, "second_half_mib": late, "measuring_mib": max(after, default=None)}))
sys.exit(f"grew from {early} to {late} MiB" if late > early else None)
END_OF_PYTHON
}
# More networks than any GPU holds must end in one line with the number that would fit.
too_many_networks() {
  local message status=0
  message=$("$handgrad" train --data synthetic --device "$device" --hidden 1000 --replicas 100000 --out "$runs/too_many" 2>&1) || status=$?
  printf '%s\n' "$message"
  [[ $status == 1 && $message != *$'\n'* && $message == *" would fit" ]]
}
check_same() {
  check "$1" cmp "$runs/$2/metrics.jsonl" "$runs/$3/metrics.jsonl"
  check "$1_model" cmp "$runs/$2/model.pt" "$runs/$3/model.pt"
}
replicas=1024
if [[ $device == cpu ]]; then replicas=4; fi

check cuda_tests "$build/handgrad_tests" "[cuda]"
for norm in "" --batch-norm; do
  check "gradcheck$norm" "$handgrad" gradcheck --device "$device" $norm --json "$runs/gradcheck$norm.json"
done
check bench "$handgrad" bench --device "$device" --brief --json "$runs/bench.json"
# Experiment 3 of the described ones: batch 32, λ 0.01, no batch norm, 100 epochs; without early stopping.
ensemble=(check_training ensemble --replicas "$replicas" --batch-size 32 --l2 0.01 --epochs 100 --patience 1000)
if [[ $device == cpu ]]; then
  "${ensemble[@]}"
else
  watch_memory "${ensemble[@]}"
  check flat_memory flat_memory
  check too_many_networks too_many_networks
fi
settings=(--epochs 3 --batch-norm --optimizer adam --learning-rate 0.001)
check_training once "${settings[@]}"
check_training twice "${settings[@]}"
check_same same_bits once twice
if [[ $device != cpu ]]; then
  check_training without_graph "${settings[@]}" --no-cuda-graph
  check_same same_bits_without_graph once without_graph
  if command -v compute-sanitizer >/dev/null; then
    check memcheck compute-sanitizer --tool memcheck --error-exitcode 9 "$handgrad" train --data synthetic --device "$device" \
      --hidden 4 --epochs 1 --validation-fraction 0.9 --out "$runs/memcheck"
  fi
fi
check sweep "$handgrad" sweep scripts/experiments/report.toml --data "$data" --device "$device" --seeds 8 --epochs 2 --out "$runs/sweep"
# All that needs no GPU, but for the hundreds of planted faults, whose minutes say nothing about one.
check tests "$build/handgrad_tests" "~[cuda]~[planted]"

cat -- "$output"
! cut -f 2 "$runs/status.tsv" | grep -qv '^0$' || fail "not all checks passed; $runs/*.txt say why"
