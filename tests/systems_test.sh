#!/usr/bin/env bash
# Tests what the scripts that set up systems say to wrong words and missing means: one line that names the remedy, before anything
# is done.
set -euo pipefail
cd -- "$(dirname "${BASH_SOURCE[0]}")/.."

# refused PART COMMAND…
refused() {
  local output status=0
  output=$("${@:2}" 2>&1) || status=$?
  if [[ $status != 1 || $output == *$'\n'* || $output != *"$1"* ]]; then
    printf 'FAILED: %s\nexit code %s, wanted 1 and one line with: %s\n%s\n' "${*:2}" "$status" "$1" "$output"
    exit 1
  fi
}

refused "unknown release '99'; known are 12 (bookworm) and 13 (trixie)" scripts/other_systems.sh 12 99
refused "unknown argument 'kept'; the only one is keep" scripts/cuda_system.sh kept
refused "unknown argument '--test'; known are --tests and --cuda" scripts/setup.sh --test
refused "give the folder to fill" scripts/gpu_bundle.sh
refused "name a new folder" scripts/gpu_bundle.sh scripts

for script in other_systems cuda_system; do
  if ((EUID == 0)); then
    PATH=/usr/bin:/bin refused "no debootstrap here; run: apt-get install debootstrap" "scripts/$script.sh"
    as_nobody=(unshare --user)
    "${as_nobody[@]}" true 2>/dev/null || continue
  else
    as_nobody=()
  fi
  refused "run: sudo scripts/$script.sh" "${as_nobody[@]}" "scripts/$script.sh"
done
