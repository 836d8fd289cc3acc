#!/usr/bin/env bash
# Checks the sources and the scripts with clang-format, clang-tidy and shellcheck, that rooms include downwards only
# (check_rooms.py), and that names are unique where sources are compiled as one (check_names.py); the release preset must be configured.
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

python3 scripts/check_rooms.py
# CMake decides which sources the sanitizers' build compiles as one.
if command -v clang++ >/dev/null; then
  quietly cmake --preset sanitize -DHANDGRAD_TESTS=ON -DHANDGRAD_WERROR=ON
  python3 scripts/check_names.py build/sanitize
fi

# The sources are laid out by this version, which continuous integration has; others lay out differently.
formatter_version=14
formatter=$(command -v "clang-format-$formatter_version" || command -v clang-format)
found=$("$formatter" --version | grep -oE 'version [0-9]+' | cut -d ' ' -f 2)
if [[ $found == "$formatter_version" ]]; then
  sources '*.h' '*.cpp' | xargs -0 -r "$formatter" --dry-run -Werror
else
  say "layout not checked: clang-format is of version $found here, and the sources are laid out by version $formatter_version"
fi

# With a module of ours the checks find the same in a third of the time, and with precompiled headers in half of that; both need
# clang's own headers and compiler.
llvm=$(dirname "$(dirname "$(readlink -f "$(command -v clang-tidy)")")")
load=()
if [[ -e $llvm/include/clang-tidy/ClangTidyCheck.h && -x $llvm/bin/clang++ ]]; then
  scripts/tidy_commands.py "$llvm/bin/clang++"
  module=build/tidy/own_code.so
  quietly c++ -std=c++17 -O1 -fPIC -shared -fno-rtti -isystem "$llvm/include" scripts/tidy_own_code.cpp -o "$module"
  load=("--load=$module" --checks=handgrad-own-code)
else
  scripts/tidy_commands.py
  say "clang-tidy takes longer here: its headers or its clang++ are not in $llvm; scripts/setup.sh --tests installs them"
fi

# What was clean stays clean while it, the headers of ours that it includes, the checks, the tool and the installed
# headers are the same.
clean=${XDG_CACHE_HOME:-$HOME/.cache}/handgrad/tidy
mkdir -p "$clean"
context=$({
  clang-tidy --version
  cat .clang-tidy scripts/lint.sh scripts/tidy_own_code.cpp scripts/tidy_commands.py
  dpkg-query --show 'lib*-dev' 2>/dev/null || true
} | sha256sum)
export clean context

# key_of SOURCE: of all that decides whether it is clean, as the build's dependencies tell it.
key_of() {
  local object=build/CMakeFiles/handgrad_core.dir/$1.o
  [[ $1 == core/* ]] || object=build/CMakeFiles/handgrad.dir/$1.o
  {
    printf '%s\n' "$context" "$1"
    cat -- "$1"
    ninja -C build -t deps "${object#build/}" | sed -nE -e "s#^ +(\\.\\./|$PWD/)(app/.*\\.h)\$#\\2#p" -e 's#^ +(.*/)?include/handgrad/(.*\.h)$#core/\2#p' | sort -u | xargs -r sha256sum
  } | sha256sum | cut -d ' ' -f 1
}

# tidy [OPTION…] SOURCE
tidy() {
  local source=${*: -1} key
  key=$(key_of "$source")
  [[ ! -e $clean/$key ]] || return 0
  # Options that only GCC has are no fault of the sources. The static analyzer follows the paths through a function until it has
  # seen so many states: a third of its usual number, for half of the time.
  quietly clang-tidy --quiet -p build/tidy --extra-arg=-Wno-unknown-warning-option \
    --extra-arg=-Wno-ignored-optimization-argument --extra-arg=-Qunused-arguments \
    --extra-arg=-Xclang --extra-arg=-analyzer-config --extra-arg=-Xclang --extra-arg=max-nodes=75000 "$@" || return
  touch -- "$clean/$key"
}
export -f key_of tidy quietly
# shellcheck disable=SC2016  # the inner shell expands it
sources 'app/*.cpp' 'core/*.cpp' | xargs -0 -r -n 1 -P "$(nproc)" bash -c 'tidy "$@"' tidy "${load[@]}"
