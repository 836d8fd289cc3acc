#!/usr/bin/env bash
# Prints the table of measured errors in core/nn/GRADIENTS.md: runs `handgrad gradcheck` in several settings.
# Arguments: [flags of `handgrad gradcheck`], added to every setting. HANDGRAD_PROGRAM: another program than
# build/handgrad.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

program=${HANDGRAD_PROGRAM-$(dirname "${BASH_SOURCE[0]}")/../build/handgrad}
settings=(
  ""
  "--batch-norm"
  "--batch-norm --replicas 3 --batch-size 33"
  "--dtype float32"
  "--batch-norm --dtype float32"
)
[[ -x $program ]] || fail "no program $program; scripts/run.sh builds it"
command -v python3 >/dev/null || fail "python3 is missing; scripts/setup.sh --tests installs it"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
columns=()
for i in "${!settings[@]}"; do
  read -r -a flags <<<"${settings[i]}"
  quietly "$program" gradcheck "${flags[@]}" "$@" --json "$scratch/$i.json" ||
    fail "gradcheck failed in the setting: ${settings[i]:-default}"
  columns+=("${settings[i]:-default}" "$scratch/$i.json")
done

# Arguments: title and JSON file of each column.
python3 - "${columns[@]}" <<'PYTHON'
import json
import sys

KINDS = ["linear", "ReLU", "batch norm", "softmax cross entropy", "L2 penalty", "network"]
INVARIANTS = "invariants of batch norm"


def kind(check):
    if check["cosine"] is None:  # a sum that must vanish: no second gradient to form an angle with
        return INVARIANTS
    return next(kind for kind in KINDS if check["pair"].startswith(kind))


def largest(checks, key):
    return f"{max(check[key] for check in checks):.1e}"


def cell(checks):
    if not checks:
        return "-"
    if kind(checks[0]) == INVARIANTS:
        return largest(checks, "autograd_error")
    return largest(checks, "autograd_error") + " / " + largest(checks, "finite_difference_error")


titles, columns = sys.argv[1::2], []
for path in sys.argv[2::2]:
    with open(path, encoding="utf-8") as file:
        columns.append(json.load(file)["checks"])

print("|", " | ".join(["pair"] + [title if title == "default" else f"`{title}`" for title in titles]), "|")
print("|---" * (len(titles) + 1) + "|")
for row in KINDS + [INVARIANTS]:
    print("|", " | ".join([row] + [cell([check for check in checks if kind(check) == row]) for checks in columns]), "|")
PYTHON
