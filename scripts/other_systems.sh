#!/usr/bin/env bash
# Runs the two commands of the README's start in bare systems of Debian, each made by debootstrap in a temporary folder, and prints
# a table. Arguments: --full for all checks of test.sh instead of the quick ones; --sudo to be an ordinary user with sudo there
# instead of root; the releases, by number or name [12 13]. Needs root and a mirror of Debian (bare_system.sh). MNIST_DIR is
# copied; without it MNIST is fetched. Logs go to build/other_systems.
set -euo pipefail
if [[ -n ${MNIST_DIR-} ]]; then MNIST_DIR=$(realpath --canonicalize-missing -- "$MNIST_DIR"); fi
cd -- "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh
# shellcheck source=scripts/bare_system.sh
source scripts/bare_system.sh

quick=--quick
user=root
releases=()
for argument in "$@"; do
  case $argument in
    --full) quick= ;;
    --sudo) user=trainer ;;
    12 | bookworm) releases+=(bookworm) ;;
    13 | trixie) releases+=(trixie) ;;
    *) fail "unknown release '$argument'; known are 12 (bookworm) and 13 (trixie)" ;;
  esac
done
if ((${#releases[@]} == 0)); then releases=(bookworm trixie); fi
require_systems "$0" "$@"

logs=build/other_systems
mkdir -p "$logs"
scratch=$(mktemp -d "${TMPDIR:-/var/tmp}/handgrad-systems-XXXXXX")
trap 'rm -rf "$scratch"' EXIT

# timed COMMAND: runs it inside and sets `seconds`; its output goes to the log.
timed() {
  local start=$EPOCHREALTIME status=0
  printf '+ %s\n' "$1" >>"$log"
  inside "$root" "$user" "$1" >>"$log" 2>&1 || status=$?
  seconds=$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
  return "$status"
}

failed=
say_failed() {
  say "$release: $1 failed; the last lines of $log:"
  tail -n 5 "$log" >&2
  failed=1
}

print_row() { printf '%-10s %-9s %-14s %9s %9s %9s  %-26s %s\n' "$@"; }
table=$(print_row release LibTorch compiler 'run.sh s' 'again s' test test.sh 'CMake warnings')
for release in "${releases[@]}"; do
  root=$scratch/$release
  log=$logs/$release.log
  : >"$log"
  say "$release: making a bare system"
  make_system "$release" "$root" "$user" || fail "$release: cannot make a bare system"
  first=- again=- accuracy=- tests=- warnings=- libtorch=- compiler=-
  say "$release: run.sh"
  if timed "./scripts/run.sh --epochs 5"; then
    first=$seconds
    accuracy=$(sed -nE 's/^ *test +[0-9.]+ +([0-9.]+) %$/\1 %/p' "$log" | tail -n 1)
    libtorch=$(inside "$root" "$user" 'build/handgrad doctor' | sed -nE 's/^ *LibTorch +//p') || true
    compiler="g++ $(inside "$root" "$user" 'g++ -dumpfullversion')"
    if timed "./scripts/run.sh --epochs 5"; then again=$seconds; else say_failed "the second run.sh"; fi
    say "$release: test.sh"
    timed "./scripts/test.sh $quick" || say_failed test.sh
    tests=$(grep -E 'tests passed.*out of' "$log" | tail -n 1 | sed -E 's/, [0-9]+ tests? failed//')
    # With all that the tests need there. Those of Torch's own configuration are not ours.
    inside "$root" "$user" 'cmake -S . -B build/warnings -G Ninja 2>&1' >"$logs/$release.cmake" || say_failed configuring
    warnings=$(grep -E '^CMake .*Warning' "$logs/$release.cmake" | grep -cv ' at /usr/') || true
  else
    say_failed run.sh
  fi
  table+=$'\n'$(print_row "$release" "$libtorch" "$compiler" "$first" "$again" "$accuracy" "${tests:--}" "$warnings")
  rm -rf "$root"
done
printf '%s\n' "$table"
[[ -z $failed ]]
