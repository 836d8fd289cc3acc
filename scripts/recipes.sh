#!/usr/bin/env bash
# Repeats the recipes of scripts/recipes with all of their seeds, and prints the table of docs/results.md; goes on where it was
# stopped. Of small and wide also what else was tried, tried-small.toml and tried-wide.toml; of fast-99 the seconds of five seeds, in
# turn with Python's PyTorch. Arguments: [DIR] [RECIPE…]; DIR is runs/recipes by default, and all recipes are repeated where none is
# named. HANDGRAD_PROGRAM: another program than build/handgrad. PYTHON: the Python that has PyTorch, python3 by default.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/common.sh
source "$root/scripts/common.sh"

program=${HANDGRAD_PROGRAM-$root/build/handgrad}
[[ -x $program ]] || fail "no program $program; scripts/run.sh builds it"
python=${PYTHON-python3}
directory=${1-runs/recipes}
recipes=("${@:2}")
((${#recipes[@]} > 0)) || recipes=(described small small-deskew wide fast-99)
for recipe in "${recipes[@]}"; do
  [[ -f $root/scripts/recipes/$recipe.toml ]] || fail "no recipe $recipe in scripts/recipes"
done
mkdir -p -- "$directory"

# race SEEDS: of fast-99, seconds and test accuracy of each seed by both, one after the other.
race() {
  local recipe=$root/scripts/recipes/fast-99.toml seed
  for ((seed = 1; seed <= $1; ++seed)); do
    "$program" train --config "$recipe" --seed "$seed" --out "$directory/race" --overwrite >/dev/null
    "$python" -c 'import json, sys
run = json.load(open(sys.argv[1]))
print("handgrad", run["seconds"], 100 * run["replicas"][0]["test"]["accuracy"], sep="\t")' "$directory/race/summary.json"
    "$python" "$root/scripts/recipe_in_pytorch.py" "$recipe" "$seed"
  done
}

# run_sweep NAME: of the file with that name.
run_sweep() {
  say "$1"
  "$program" sweep "$root/scripts/recipes/$1.toml" --out "$directory/$1" | tee "$directory/$1.txt"
}

rows=()
for recipe in "${recipes[@]}"; do
  run_sweep "$recipe"
  rows+=("$recipe=$directory/$recipe")
done
"$python" "$root/scripts/recipes_table.py" "${rows[@]}" | tee "$directory/table.md"

for recipe in "${recipes[@]}"; do
  if [[ -f $root/scripts/recipes/tried-$recipe.toml ]]; then run_sweep "tried-$recipe"; fi
done

if [[ " ${recipes[*]} " == *" fast-99 "* ]]; then
  say "fast-99 beside PyTorch"
  race 5 | tee "$directory/race.tsv"
  sort -t $'\t' -k 1,1 -k 2,2n "$directory/race.tsv" | awk -F '\t' '
    { n[$1]++; seconds[$1, n[$1]] = $2; sum[$1] += $3 }
    function median(name) { return seconds[name, int((n[name] + 1) / 2)] }
    END {
      for (name in n) {
        printf "%s: median %.1f s, mean of the test accuracy %.2f %%, %d seeds\n", name, median(name), sum[name] / n[name], n[name]
        if (name != "handgrad") peer = name
      }
      if (peer) printf "handgrad / %s: %.2f\n", peer, median("handgrad") / median(peer)
    }'
fi
