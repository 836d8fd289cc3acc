#!/usr/bin/env bash
# Fetches a data set of the MNIST family into a directory and verifies it: scripts/fetch_data.sh mnist|fashion-mnist|kmnist|emnist [DIR];
# DIR is else the repository's data/NAME. Goes on with a download that broke off. A data set of other content is left alone, and is
# an error; a damaged file is kept under another name. Fashion-MNIST and KMNIST get a labels.txt, where there is none.
# HANDGRAD_DATA_MIRRORS: other mirrors, separated by spaces, tried in that order; HANDGRAD_DATA_SUMS: for mirrors that pack the files of
# the other sets than MNIST otherwise, a file with their MD5 sums, as md5sum writes it.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# MNIST has the SHA-256 of its unpacked files, since mirrors pack them differently; the others have the MD5 of the files as their makers
# published them, by which PyTorch's torchvision knows them too.
declare -A sums=()
case ${1-} in
  mnist)
    title=MNIST
    default_mirrors="https://ossci-datasets.s3.amazonaws.com/mnist/
https://storage.googleapis.com/cvdf-datasets/mnist/"
    sums=(
      [train-images-idx3-ubyte]=ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db
      [train-labels-idx1-ubyte]=65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5
      [t10k-images-idx3-ubyte]=0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7
      [t10k-labels-idx1-ubyte]=ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2
    )
    ;;
  fashion-mnist)
    title=Fashion-MNIST
    default_mirrors="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/
https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
    sums=(
      [train-images-idx3-ubyte]=8d4fb7e6c68d591d4c3dfef9ec88bf0d
      [train-labels-idx1-ubyte]=25c81989df183df01b3e8a0aad5dffbe
      [t10k-images-idx3-ubyte]=bef4ecab320f06d8554ea6380940ec79
      [t10k-labels-idx1-ubyte]=bb300cfdad3c16e7a12a480ee83cd310
    )
    labels=(T-shirt/top Trouser Pullover Dress Coat Sandal Shirt Sneaker Bag "Ankle boot")
    ;;
  kmnist)
    title=KMNIST
    default_mirrors="http://codh.rois.ac.jp/kmnist/dataset/kmnist/"
    sums=(
      [train-images-idx3-ubyte]=bdb82020997e1d708af4cf47b453dcf7
      [train-labels-idx1-ubyte]=e144d726b3acfaa3e44228e80efcd344
      [t10k-images-idx3-ubyte]=5c965bf0a639b31b8f53240b1b52f4d7
      [t10k-labels-idx1-ubyte]=7320c461ea6c1c855c0b718fb2a4b134
    )
    labels=(o ki su tsu na ha ma ya re wo)
    ;;
  emnist)
    title=EMNIST
    default_mirrors="https://biometrics.nist.gov/cs_links/EMNIST/"
    sums=([gzip.zip]=58c8d27c78d21e728a6bc7b3cc06412e)  # one archive of 535 MB, with all six sets
    ;;
  *) fail "name a data set: fetch_data.sh mnist|fashion-mnist|kmnist|emnist [DIR]" ;;
esac
(($# <= 2)) || fail "takes a data set and a directory, got $# arguments"
read -r -d '' -a mirrors <<<"${HANDGRAD_DATA_MIRRORS-$default_mirrors}" || true
if [[ $1 != mnist && -n ${HANDGRAD_DATA_SUMS-} ]]; then
  [[ -r $HANDGRAD_DATA_SUMS ]] || fail "HANDGRAD_DATA_SUMS names $HANDGRAD_DATA_SUMS, which cannot be read"
  while read -r sum name; do
    name=${name#\*}
    sums[${name%.gz}]=$sum
  done <"$HANDGRAD_DATA_SUMS"
fi

directory=${2-$(dirname "${BASH_SOURCE[0]}")/../data/$1}
mkdir -p -- "$directory" 2>/dev/null || fail "cannot create $directory"
cd -- "$directory"

# is_right PATH PART: whether the file at PATH is what PART must be; of MNIST plain or gzip, the others as they were published.
is_right() {
  local sum
  [[ -s $1 ]] || return 1
  if [[ $title == MNIST ]]; then
    sum=$(gzip -dcf <"$1" 2>/dev/null | sha256sum) && [[ $sum == "${sums[$2]}  -" ]]
  else
    sum=$(md5sum <"$1") && [[ $sum == "${sums[$2]}  -" ]]
  fi
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
  reason="what it delivers is not that file (wrong checksum)"
  rm -f -- "$2"
  return 1
}

# fetch_from_mirrors NAME PART: leaves it in NAME.part.
fetch_from_mirrors() {
  local name=$1 mirror reasons=""
  ((${#mirrors[@]} > 0)) || fail "$name is not here and HANDGRAD_DATA_MIRRORS names no mirror"
  for mirror in "${mirrors[@]}"; do
    if fetch "${mirror%/}/$name" "$name.part" "$2"; then
      return 0
    fi
    reasons+="; $mirror: ${reason//$'\n'/ }"
  done
  fail "$name could not be fetched: ${reasons#; }"
}

# Names of the classes, unless somebody gave some already.
write_labels() {
  if [[ -n ${labels-} && ! -e labels.txt ]]; then
    printf '%s\n' "${labels[@]}" >labels.txt || fail "cannot write $PWD/labels.txt"
  fi
}

# The archive is kept apart until all of it is unpacked: what is half there is not taken for a data set.
fetch_emnist() {
  local archive=gzip.zip unpacked=.emnist.part file
  if [[ -e .verified && $(emnist_fingerprint) == "$(<.verified)" ]]; then
    return 0
  fi
  if compgen -G 'emnist-*' >/dev/null; then
    fail "$PWD has files of EMNIST that this script did not put there, or that were changed since; name another directory"
  fi
  say "fetching $archive, 535 MB"
  is_right "$archive.part" "$archive" || fetch_from_mirrors "$archive" "$archive"
  rm -rf -- "$unpacked"
  if command -v unzip >/dev/null; then
    quietly unzip -q -j "$archive.part" -d "$unpacked" || fail "cannot unpack $PWD/$archive.part"
  else
    quietly python3 -c 'import sys, zipfile, pathlib, shutil
pathlib.Path(sys.argv[2]).mkdir()
with zipfile.ZipFile(sys.argv[1]) as archive:
    for entry in archive.infolist():
        if not entry.is_dir():
            with archive.open(entry) as source, open(pathlib.Path(sys.argv[2]) / pathlib.Path(entry.filename).name, "wb") as target:
                shutil.copyfileobj(source, target)' "$archive.part" "$unpacked" ||
      fail "cannot unpack $PWD/$archive.part; install unzip or python3"
  fi
  for file in "$unpacked"/emnist-*; do
    rename "$file" "${file##*/}"
  done
  rm -rf -- "$unpacked" "$archive.part"
  { emnist_fingerprint >.verified; } 2>/dev/null || true
}

emnist_fingerprint() {
  stat --dereference --format '%n %s %.Z' -- emnist-* 2>/dev/null || true
}

if [[ $title == EMNIST ]]; then
  fetch_emnist
  exit 0
fi

if [[ -e .verified && $(fingerprint) == "$(<.verified)" ]]; then
  write_labels
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
      fail "$PWD/$name is whole, but not of $title, and is left as it is; name another directory, or move it away"
    fi
    damaged[$name]=1
  done
done

for part in "${data_parts[@]}"; do
  packed=$part.gz
  if [[ -z ${right[$part]-} ]]; then
    say "fetching $packed"
    is_right "$packed.part" "$part" || fetch_from_mirrors "$packed" "$part"
  fi
  for name in $(data_names "$part"); do
    if [[ -n ${damaged[$name]-} ]]; then
      set_aside "$name"
    fi
  done
  [[ -n ${right[$part]-} ]] || rename "$packed.part" "$packed"
done
write_labels
# Files in a directory that cannot be written are read again each time.
{ fingerprint >.verified; } 2>/dev/null || true
