#!/usr/bin/env bash
# Builds handgrad and runs all its tests and checks; --quick: only the release build and its tests.
set -euo pipefail
if [[ -n ${MNIST_DIR-} ]]; then
  MNIST_DIR=$(realpath --canonicalize-missing -- "$MNIST_DIR")  # the tests run in other directories
fi
cd -- "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

case "${1-}" in
  "" | --quick) ;;
  *) fail "unknown argument '$1'; the only one is --quick" ;;
esac

build() {
  # run.sh configures without the tests.
  quietly cmake --preset "$1" -DHANDGRAD_TESTS=ON -DHANDGRAD_WERROR=ON && quietly cmake --build --preset "$1"
}

stage "setup" scripts/setup.sh --tests
stage "release build" build release
if [[ ${1-} != --quick ]]; then
  stage "lint" scripts/lint.sh
  stage "fuzz" scripts/fuzz.sh 4000x  # what was found before, and the same few mutations each time: no commit fails by chance
  stage "sanitize build" build sanitize
  stage "sanitize tests" ctest --preset sanitize --parallel "$(nproc)" --output-on-failure --no-tests=error
fi
# Last, so that CTest's own summary ends the output.
exec ctest --preset release --parallel "$(nproc)" --output-on-failure --no-tests=error
