#!/usr/bin/env bash
# Fetches the four MNIST files into a directory (default: the repository's data/mnist) and verifies them.
# HANDGRAD_MNIST_MIRRORS: other mirrors, separated by spaces, tried in that order.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

default_mirrors="https://ossci-datasets.s3.amazonaws.com/mnist/
https://storage.googleapis.com/cvdf-datasets/mnist/"
read -r -d '' -a mirrors <<<"${HANDGRAD_MNIST_MIRRORS-$default_mirrors}" || true

names=({train,t10k}-images-idx3-ubyte.gz {train,t10k}-labels-idx1-ubyte.gz)
# SHA-256 of the unpacked files: mirrors may pack the same file differently.
declare -A checksums=(
  [train-images-idx3-ubyte.gz]=ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db
  [train-labels-idx1-ubyte.gz]=65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5
  [t10k-images-idx3-ubyte.gz]=0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7
  [t10k-labels-idx1-ubyte.gz]=ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2
)

directory=${1-$(dirname "${BASH_SOURCE[0]}")/../data/mnist}
mkdir -p -- "$directory" 2>/dev/null || fail "cannot create $directory"
cd -- "$directory"

# is_right PATH NAME: whether the file at PATH unpacks to what NAME must contain.
is_right() {
  [[ -s $1 && $(gzip -dc <"$1" 2>/dev/null | sha256sum) == "${checksums[$2]}  -" ]]
}

# Changes with every write to the files, so that verified ones need not be read again.
fingerprint() {
  stat --format '%n %s %.Z' -- "${names[@]}" 2>/dev/null
}

# transfer URL PART [curl's options]: sets `reason` and returns curl's status.
transfer() {
  reason=$(curl --fail --silent --show-error --location --connect-timeout 5 --speed-limit 2000 --speed-time 15 \
    --output "$2" "${@:3}" -- "$1" 2>&1)
}

# fetch URL PART NAME: completes PART, or sets `reason` and leaves in it only what is worth resuming.
fetch() {
  local status=0
  if [[ -s $2 ]]; then
    transfer "$1" "$2" --continue-at - || status=$?
    if is_right "$2" "$3"; then
      return 0
    fi
    case $status in
      0 | 22 | 33) ;;  # a wrong beginning, a refused request, a mirror without ranges: start afresh
      *) return 1 ;;   # the connection failed
    esac
  fi
  transfer "$1" "$2" || return 1
  if is_right "$2" "$3"; then
    return 0
  fi
  reason="what it delivers is not that file (wrong SHA-256)"
  rm -f -- "$2"
  return 1
}

fetch_from_mirrors() {
  local name=$1 mirror reasons=""
  ((${#mirrors[@]} > 0)) || fail "$name is not here and HANDGRAD_MNIST_MIRRORS names no mirror"
  for mirror in "${mirrors[@]}"; do
    if fetch "${mirror%/}/$name" "$name.part" "$name"; then
      return 0
    fi
    reasons+="; $mirror: ${reason//$'\n'/ }"
  done
  fail "$name could not be fetched: ${reasons#; }"
}

if [[ -e .verified && $(fingerprint) == "$(<.verified)" ]]; then
  exit 0
fi
for name in "${names[@]}"; do
  if is_right "$name" "$name"; then
    continue
  fi
  if [[ -e $name ]]; then
    say "$PWD/$name is damaged (wrong SHA-256); fetching it anew"
  else
    say "fetching $name"
  fi
  is_right "$name.part" "$name" || fetch_from_mirrors "$name"
  mv -f -- "$name.part" "$name" 2>/dev/null || fail "cannot write $PWD/$name"
done
# Files in a directory that cannot be written are read again each time.
{ fingerprint >.verified; } 2>/dev/null || true
