#!/usr/bin/env bash
# Tests the man page and the completion that scripts/reference.sh makes, and that the flag table of docs/commands.md is what it would
# write there. Argument: the program.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp -- "$root/docs/commands.md" "$scratch/commands.md"
"$root/scripts/reference.sh" "$1" "$scratch" "$scratch/commands.md"

failed() {
  echo "FAILED: $*"
  exit 1
}

diff -u "$root/docs/commands.md" "$scratch/commands.md" ||
  failed "the flags in docs/commands.md are not those of the program; run: scripts/reference.sh $1 build/reference docs/commands.md"

for command in train evaluate predict export data sweep report gradcheck bench doctor; do
  grep -qx ".SS $command" "$scratch/handgrad.1" || failed "the man page has no section $command"
  while read -r flag; do
    grep -qF -- "${flag//-/\\-}" "$scratch/handgrad.1" || failed "the man page is without $flag of $command"
    grep -qE "^ +$command\) .*[\" ]${flag}[\" ]" "$scratch/handgrad.bash" || failed "the completion of $command is without $flag"
  done < <("$1" "$command" --help | grep -oE '^  --[a-z0-9-]+' | tr -d ' ')
done
if command -v man >/dev/null; then
  warnings=$(LC_ALL=C.UTF-8 man --warnings -E UTF-8 -l -Tutf8 "$scratch/handgrad.1" 2>&1 >/dev/null)
  [[ -z $warnings ]] || failed "man warns: $warnings"
fi

# completed WORD…: what Bash would offer for the last word.
completed() {
  COMP_WORDS=(handgrad "$@")
  COMP_CWORD=$#
  _handgrad
  printf '%s' "${COMPREPLY[*]}"
}
# shellcheck disable=SC1091  # made above
source "$scratch/handgrad.bash"
[[ $(completed gr) == gradcheck ]] || failed "gr: $(completed gr)"
[[ $(completed train --optim) == --optimizer ]] || failed "train --optim: $(completed train --optim)"
[[ $(completed train --optimizer ad) == "adam adamw" ]] || failed "--optimizer ad: $(completed train --optimizer ad)"
[[ -z $(completed evaluate --optim) ]] || failed "evaluate --optim: $(completed evaluate --optim)"
[[ -z $(completed evaluate runs) ]] || failed "evaluate runs: $(completed evaluate runs)"
