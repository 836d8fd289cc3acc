# shellcheck shell=bash
# What the scripts share; they source it.

say() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
}

fail() {
  say "$*"
  exit 1
}

# Runs a command and shows its output only when it fails.
quietly() {
  local output status=0
  output=$("$@" 2>&1) || status=$?
  if ((status != 0)); then
    printf '%s\n' "$output" >&2
  fi
  return "$status"
}

# stage NAME COMMAND…: runs it, and says how long it took or that it failed.
stage() {
  local name=$1 start=$SECONDS
  "${@:2}" || fail "$name failed after $((SECONDS - start)) s"
  say "$name: $((SECONDS - start)) s"
}

# The parts of a data set.
# shellcheck disable=SC2034  # for those who source this
data_parts=({train,t10k}-images-idx3-ubyte {train,t10k}-labels-idx1-ubyte)

# data_names PART: the names that a part may have, in the order in which handgrad looks for them.
data_names() {
  printf '%s\n' "$1"{,.gz} "${1/-idx/.idx}"{,.gz}
}

# has_data DIRECTORY PART
has_data() {
  local name
  for name in $(data_names "$2"); do
    if [[ -e $1/$name ]]; then
      return 0
    fi
  done
  return 1
}
