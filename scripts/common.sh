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
