#!/usr/bin/env bash
# Trains from nothing but this repository: installs, builds and fetches what is missing, then runs `handgrad train`.
# Arguments go to `handgrad train`. Data: --data, else MNIST_DIR, else data/mnist, else the synthetic digits.
set -euo pipefail
caller=$PWD
cd -- "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

# The program runs in the repository, but paths are meant from where the caller stands.
from_caller() {
  case $1 in
    "" | /*) printf '%s\n' "$1" ;;
    *) printf '%s\n' "$caller/$1" ;;
  esac
}

data=
config=
arguments=()
while (($# > 0)); do
  argument=$1
  case $1 in
    --data | --out | --config)
      (($# > 1)) || fail "$1 needs a value"
      argument=$1=$2
      shift
      ;;
  esac
  case $argument in
    --data=synthetic) ;;
    --data=* | --out=* | --config=*) argument=${argument%%=*}=$(from_caller "${argument#*=}") ;;
  esac
  case $argument in
    --data=*) data=${argument#*=} ;;
    --config=*)
      config=1  # names the data, unless --data does
      arguments+=("$argument")
      ;;
    *) arguments+=("$argument") ;;
  esac
  shift
done

if [[ -z $data && -z $config && -n ${MNIST_DIR-} ]]; then
  data=$(from_caller "$MNIST_DIR")
  for part in "${data_parts[@]}"; do
    has_data "$data" "$part" || fail "MNIST_DIR=$MNIST_DIR has no file $part.gz; unset it to have MNIST fetched"
  done
fi

scripts/setup.sh

# Configuring takes seconds; Ninja itself does it again when CMakeLists.txt changed. The tests need more packages.
if [[ ! build/build.ninja -nt CMakePresets.json ]]; then
  say "configuring"
  quietly cmake --log-level=WARNING --preset release -DHANDGRAD_TESTS=OFF || fail "cannot configure the build"
fi
say "building"
quietly cmake --build --preset release --target handgrad || fail "cannot build handgrad"

if [[ -z $data && -z $config ]]; then
  data=data/mnist
  if ! scripts/fetch_data.sh mnist; then
    there=0
    for part in "${data_parts[@]}"; do
      ! has_data "$data" "$part" || there=$((there + 1))
    done
    if ((there == ${#data_parts[@]})); then
      say "training on the files in $data as they are"
    elif ((there > 0)); then
      fail "$data has $there of the ${#data_parts[@]} files of a data set; complete it, or name another one with --data"
    else
      data=synthetic
      cat >&2 <<'END'
********************************************************************************
** WARNING: no MNIST here, and it could not be fetched.                       **
** Training uses the built-in SYNTHETIC digits: its accuracies say nothing    **
** about MNIST. Give the files with MNIST_DIR=… or --data …                   **
********************************************************************************
END
    fi
  fi
fi

if [[ -n $data ]]; then
  arguments=(--data "$data" "${arguments[@]}")
fi
exec build/handgrad train "${arguments[@]}"
