# shellcheck shell=bash
# Another version of the program, to be held against this one; scripts source it after common.sh.

# program_of ROOT VERSION SCRATCH: sets `program` to the path of VERSION, a program, or a commit of the repository ROOT, which is built in
# SCRATCH. forget_version takes it away.
program_of() {
  local root=$1 version=$2 source=$3/source
  if [[ -x $version && ! -d $version ]]; then
    program=$(realpath -- "$version")
    return
  fi
  git -C "$root" rev-parse --verify --quiet "$version^{commit}" >/dev/null || fail "'$version' is neither a program nor a commit"
  say "building $version"
  quietly git -C "$root" worktree add --detach "$source" "$version" || return 1
  quietly cmake -S "$source" -B "$source/build" -G Ninja -DHANDGRAD_TESTS=OFF || return 1
  quietly cmake --build "$source/build" --target handgrad || return 1
  # shellcheck disable=SC2034  # for those who source this
  program=$source/build/handgrad
}

# forget_version ROOT SCRATCH
forget_version() {
  git -C "$1" worktree remove --force "$2/source" 2>/dev/null || true
}
