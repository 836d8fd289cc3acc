#!/usr/bin/env bash
# Fetches the four MNIST files into a directory (default: the repository's data/mnist) and verifies them. A data set of
# other content is left alone, and is an error; a damaged file is kept under another name.
# HANDGRAD_MNIST_MIRRORS: other mirrors, separated by spaces, tried in that order.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

default_mirrors="https://ossci-datasets.s3.amazonaws.com/mnist/
https://storage.googleapis.com/cvdf-datasets/mnist/"
read -r -d '' -a mirrors <<<"${HANDGRAD_MNIST_MIRRORS-$default_mirrors}" || true

# SHA-256 of the unpacked files: mirrors may pack the same file differently.
declare -A checksums=(
  [train-images-idx3-ubyte]=ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db
  [train-labels-idx1-ubyte]=65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5
  [t10k-images-idx3-ubyte]=0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7
  [t10k-labels-idx1-ubyte]=ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2
)

directory=${1-$(dirname "${BASH_SOURCE[0]}")/../data/mnist}
mkdir -p -- "$directory" 2>/dev/null || fail "cannot create $directory"
cd -- "$directory"

# is_right PATH PART: whether the file at PATH, plain or gzip, holds what PART of MNIST must.
is_right() {
  local sum
  [[ -s $1 ]] && sum=$(gzip -dcf <"$1" 2>/dev/null | sha256sum) && [[ $sum == "${checksums[$2]}  -" ]]
}

# is_whole PATH: whether the file is as its maker left it, whatever it holds: a gzip stream that passes its own check, or an
# IDX file of the size that its header tells.
is_whole() {
  local -a header
  local size=1 at
  mapfile -t header < <(od -An -v -w1 -tu1 -N 1024 -- "$1" | tr -d ' ')
  if [[ ${header[*]:0:2} == "31 139" ]]; then
    gzip -t <"$1" 2>/dev/null
    return
  fi
  [[ ${header[*]:0:2} == "0 0" ]] || return 1
  [[ ${header[2]-} == 8 ]] || return 0  # not bytes, of which nothing is known here
  for ((at = 4; at < 4 + 4 * ${header[3]-0}; at += 4)); do
    ((at + 3 < ${#header[@]})) || return 1
    size=$((size * (header[at] << 24 | header[at + 1] << 16 | header[at + 2] << 8 | header[at + 3])))
  done
  (($(stat --dereference --format %s -- "$1") == at + size))
}

# set_aside NAME: gives a damaged file a name under which nothing looks for it.
set_aside() {
  local kept=$1.damaged number=1
  while [[ -e $kept || -L $kept ]]; do
    kept=$1.damaged-$((++number))
  done
  rename "$1" "$kept"
  say "$PWD/$1 is damaged; it is kept as $kept"
}

# rename FROM TO: never in place of a file.
rename() {
  mv -nT -- "$1" "$2" 2>/dev/null || true
  [[ ! -e $1 ]] || fail "cannot rename $PWD/$1 to $2"
}

# Changes with every write to the files, so that verified ones need not be read again.
fingerprint() {
  local part
  for part in "${data_parts[@]}"; do
    # shellcheck disable=SC2046  # names without blanks
    stat --dereference --format '%n %s %.Z' -- $(data_names "$part") 2>/dev/null || true
  done
}

# transfer URL FILE [curl's options]: sets `reason` and returns curl's status.
transfer() {
  reason=$(curl --fail --silent --show-error --location --connect-timeout 5 --speed-limit 2000 --speed-time 15 \
    --output "$2" "${@:3}" -- "$1" 2>&1)
}

# fetch URL FILE PART: completes FILE, or sets `reason` and leaves in it only what is worth resuming.
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

# fetch_from_mirrors PART: leaves it in PART.gz.part.
fetch_from_mirrors() {
  local name=$1.gz mirror reasons=""
  ((${#mirrors[@]} > 0)) || fail "$name is not here and HANDGRAD_MNIST_MIRRORS names no mirror"
  for mirror in "${mirrors[@]}"; do
    if fetch "${mirror%/}/$name" "$name.part" "$1"; then
      return 0
    fi
    reasons+="; $mirror: ${reason//$'\n'/ }"
  done
  fail "$name could not be fetched: ${reasons#; }"
}

if [[ -e .verified && $(fingerprint) == "$(<.verified)" ]]; then
  exit 0
fi

# All is looked at before anything is changed.
declare -A right=() damaged=()
for part in "${data_parts[@]}"; do
  for name in $(data_names "$part"); do
    [[ -e $name ]] || continue
    [[ -f $name && -r $name ]] || fail "$PWD/$name is no file that can be read; name another directory, or move it away"
    if is_right "$name" "$part"; then
      right[$part]=$name
      break  # where there are more of them, handgrad reads this one
    fi
    if is_whole "$name"; then
      fail "$PWD/$name is whole, but not of MNIST, and is left as it is; name another directory, or move it away"
    fi
    damaged[$name]=1
  done
done

for part in "${data_parts[@]}"; do
  packed=$part.gz
  if [[ -z ${right[$part]-} ]]; then
    say "fetching $packed"
    is_right "$packed.part" "$part" || fetch_from_mirrors "$part"
  fi
  for name in $(data_names "$part"); do
    if [[ -n ${damaged[$name]-} ]]; then
      set_aside "$name"
    fi
  done
  [[ -n ${right[$part]-} ]] || rename "$packed.part" "$packed"
done
# Files in a directory that cannot be written are read again each time.
{ fingerprint >.verified; } 2>/dev/null || true
