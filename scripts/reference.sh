#!/usr/bin/env bash
# Writes the man page and Bash's completion of handgrad from what the program says of itself, that is from its tables of flags.
# Arguments: the program, the folder for handgrad.1 and handgrad.bash, and optionally a Markdown file such as docs/commands.md, in
# which the table between `<!-- flags of COMMAND -->` and `<!-- end of flags -->` is renewed.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
(($# == 2 || $# == 3)) || fail "give the program and a folder, such as: ${0##*/} build/handgrad build/reference"
help=$("$1" --help-all) || fail "$1 does not answer to --help-all"
version=$("$1" --version)
version=${version%% (*}  # without that of LibTorch

# The help as records of fields between tabs: `text` and `option` of the program as a whole; then for each command `command` (name,
# summary), `usage`, and for each flag `flag` (name, placeholder, description).
mkdir -p "$2"
records=$(awk -v OFS='\t' '
  function finish() { if (record != "") print record; record = "" }
  /^handgrad [a-z]+: / && begun {
    finish(); name = $2; sub(/:$/, "", name); sub(/^handgrad [a-z]+: /, "")
    record = "command" OFS name OFS $0; next
  }
  /^handgrad: / { begun = 1; sub(/^handgrad: /, ""); print "text", $0; next }
  /^Usage: handgrad / { finish(); sub(/^Usage: handgrad /, ""); if (name != "") print "usage", $0; next }
  /^  --/ {
    finish(); flag = $1; sub(/^  --[^ ]+/, ""); placeholder = ""
    if (match($0, /^ [^ ]+/)) { placeholder = substr($0, 2, RLENGTH - 1); $0 = substr($0, RLENGTH + 1) }
    sub(/^ +/, ""); record = "flag" OFS flag OFS placeholder OFS $0; next
  }
  /^$/ || /^[A-Z][^ ]*( [^ ]+)?:$/ { finish(); next }
  record != "" { sub(/^ +/, ""); record = record " " $0; next }
  name == "" && !/^  [a-z]/ { print "text", $0 }
  END { finish() }' <<<"$help")
grep -q '^flag' <<<"$records" || fail "$1 --help-all lists no flags"

awk -F '\t' -v version="$version" '
  function plain(text) { gsub(/\\/, "\\e", text); gsub(/-/, "\\-", text); gsub(/^[.\x27]/, "\\\\\\&&", text); return text }
  /^text/ && !begun {
    begun = 1; what = $2; sub(/^.*: /, "", what)
    printf ".TH HANDGRAD 1 \"\" \"%s\" \"User Commands\"\n.SH NAME\nhandgrad \\- %s\n", version, plain(what)
    print ".SH SYNOPSIS\n.B handgrad\n.I COMMAND\n[\\fIARGUMENTS\\fR]\n.SH DESCRIPTION"; next
  }
  /^text/ { print plain($2) "\n.br" }
  /^command/ { if (!commands) print ".SH COMMANDS"; commands = 1; print ".SS " $2; print plain($3) "." }
  /^usage/ { print ".PP\n.B handgrad " plain($2) }
  /^flag/ { print ".TP"; if ($3 == "") print ".B " plain($2); else print ".BI " plain($2) " \" " plain($3) "\""; print plain($4) }
  ' <<<"$records" >"$2/handgrad.1"

# Where the description of a NAME begins with a list of words, these are its values; where there is nothing to offer, Bash offers files.
awk -F '\t' '
  function words(text, n, i, parts, list) {
    sub(/ *[;[(].*/, "", text); gsub(/,? or /, ", ", text)
    n = split(text, parts, /, /); list = ""
    for (i = 1; i <= n; ++i) if (parts[i] ~ /^[a-z0-9-]+$/) list = list " " parts[i]
    return substr(list, 2)
  }
  /^command/ { name = names[++commands] = $2 }
  /^flag/ && commands {
    flags[name] = flags[name] " " $2
    if ($3 == "NAME" && !($2 in values) && words($4) != "") { values[$2] = words($4); lists[++count] = $2 }
  }
  END {
    print "# Bash completion of handgrad.\n_handgrad() {"
    print "  local word=${COMP_WORDS[COMP_CWORD]} last=${COMP_WORDS[COMP_CWORD - 1]} candidates=\n  case $last in"
    for (i = 1; i <= count; ++i) print "    " lists[i] ") candidates=\"" values[lists[i]] "\" ;;"
    print "  esac\n  if [[ $word == -* ]]; then\n    case ${COMP_WORDS[1]} in"
    for (i = 1; i <= commands; ++i) print "      " names[i] ") candidates=\"" substr(flags[names[i]], 2) "\" ;;"
    print "    esac\n  fi\n  if ((COMP_CWORD == 1)); then"
    printf "    candidates=\""
    for (i = 1; i <= commands; ++i) printf "%s ", names[i]
    print "--help --version\"\n  fi\n  mapfile -t COMPREPLY < <(compgen -W \"$candidates\" -- \"$word\")\n}"
    print "complete -o default -F _handgrad handgrad"
  }' <<<"$records" >"$2/handgrad.bash"

if (($# == 3)); then
  page=$(awk -F '\t' '
    function cell(text) { gsub(/\|/, "\\|", text); return text }
    NR == FNR && $1 == "command" { name = $2 }
    NR == FNR && $1 == "flag" && $2 != "--help" {
      value = ""
      # The default stands in brackets at the end.
      if (match($4, / \[[^]]*\]$/)) { value = substr($4, RSTART + 2, RLENGTH - 3); $4 = substr($4, 1, RSTART - 1) }
      rows[name] = rows[name] "| `" $2 ($3 == "" ? "" : " " cell($3)) "` | " cell(value) " | " cell($4) " |\n"
    }
    NR == FNR { next }
    /^<!-- flags of [a-z]+ -->$/ {
      printf "%s\n| flag | default | meaning |\n|---|---|---|\n%s", $0, rows[$4]
      found = inside = 1; unknown = unknown || rows[$4] == ""; next
    }
    /^<!-- end of flags -->$/ { inside = 0 }
    !inside
    END { exit !found || inside || unknown }
    ' <(printf '%s\n' "$records") FS=' ' "$3") || fail "$3 has no table between the two marks for the flags of a command of handgrad"
  printf '%s\n' "$page" >"$3"
fi
