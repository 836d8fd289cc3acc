#!/usr/bin/env bash
# Checks the sources and the scripts with clang-format, clang-tidy and shellcheck; the release preset must be configured.
set -euo pipefail
cd -- "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

# sources PATTERN…: the files that git tracks or would track, ended by NUL.
sources() {
  local path
  git ls-files -z --cached --others --exclude-standard -- "$@" | sort -zu | while IFS= read -r -d '' path; do
    if [[ -e $path ]]; then  # git also lists what was deleted but not yet committed
      printf '%s\0' "$path"
    fi
  done
}

[[ -e build/compile_commands.json ]] || fail "no build/compile_commands.json; run: cmake --preset release"

sources 'scripts/*.sh' 'tests/*.sh' .ci/run | xargs -0 -r shellcheck --external-sources

# The sources are laid out by this version, which continuous integration has; others lay out differently.
formatter_version=14
formatter=$(command -v "clang-format-$formatter_version" || command -v clang-format)
found=$("$formatter" --version | grep -oE 'version [0-9]+' | cut -d ' ' -f 2)
if [[ $found == "$formatter_version" ]]; then
  sources {app,core,tests}/'*'.{h,cpp} | xargs -0 -r "$formatter" --dry-run -Werror
else
  say "layout not checked: clang-format is of version $found here, and the sources are laid out by version $formatter_version"
fi

# Clang refuses GCC's precompiled headers, so it gets the commands without them; this also shows whether each
# file includes what it uses.
mkdir -p build/tidy
sed -E -e 's/ -Winvalid-pch//' -e 's/ -include (\\"[^"]*cmake_pch\.hxx\\"|[^ ]*cmake_pch\.hxx)//' \
  build/compile_commands.json >build/tidy/compile_commands.json

tidy() {
  # Options that only GCC has are no fault of the sources.
  quietly clang-tidy --quiet -p build/tidy --extra-arg=-Wno-unknown-warning-option \
    --extra-arg=-Wno-ignored-optimization-argument --extra-arg=-Qunused-arguments "$1"
}
export -f tidy quietly
# shellcheck disable=SC2016  # the inner shell expands it
sources 'app/*.cpp' 'core/*.cpp' | xargs -0 -r -n 1 -P "$(nproc)" bash -c 'tidy "$1"' tidy
