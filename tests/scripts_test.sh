#!/usr/bin/env bash
# Tests scripts/fetch_data.sh, and what scripts/run.sh makes of it, against a server of its own, and scripts/bench.sh; exits 77, "skipped",
# where MNIST_DIR is not set. Argument: the program.
set -euo pipefail
program=$(realpath -- "$1")

if [[ -z ${MNIST_DIR-} ]]; then
  echo "skipped: MNIST_DIR, the directory with the four MNIST files, is not set"
  exit 77
fi
mnist=$(cd "$MNIST_DIR" && pwd)
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/scripts
fetch_data=$scripts/fetch_data.sh
names=({train,t10k}-images-idx3-ubyte.gz {train,t10k}-labels-idx1-ubyte.gz)
large=train-images-idx3-ubyte.gz

scratch=$(mktemp -d)
server=
clean_up() {
  if [[ -n $server ]]; then
    kill "$server" 2>/dev/null || true
  fi
  rm -rf "$scratch"
}
trap clean_up EXIT

# The mirrors: good/ and ranges/ have the files, web_page/ answers with a page. Python's server does not know
# ranges; under ranges/ it learns them.
mkdir -p "$scratch"/mirrors/{good,ranges,web_page}
for name in "${names[@]}"; do
  ln -s "$mnist/$name" "$scratch/mirrors/good/$name"
  ln -s "$mnist/$name" "$scratch/mirrors/ranges/$name"
  echo '<!doctype html><title>Please log in</title>' >"$scratch/mirrors/web_page/$name"
done
cat >"$scratch/server.py" <<'END'
import http.server
import os
import re
import socket
import sys


class Handler(http.server.SimpleHTTPRequestHandler):
    def send_head(self):
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not wanted or not self.path.startswith("/ranges/"):
            return super().send_head()
        path = self.translate_path(self.path)
        begin, size = int(wanted[1]), os.path.getsize(path)
        if begin >= size:
            return self.send_error(416)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {begin}-{size - 1}/{size}")
        self.send_header("Content-Length", str(size - begin))
        self.end_headers()
        file = open(path, "rb")
        file.seek(begin)
        return file


os.chdir(sys.argv[1])
closed = socket.socket()  # bound but not listening: a port that refuses connections for as long as this runs
closed.bind(("127.0.0.1", 0))
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, closed.getsockname()[1], flush=True)
server.serve_forever()
END
python3 "$scratch/server.py" "$scratch/mirrors" >"$scratch/ports" 2>>"$scratch/requests" &
server=$!
for ((attempt = 0; attempt < 100; ++attempt)); do
  [[ ! -s $scratch/ports ]] || break
  sleep 0.1
done
if ! read -r port closed_port <"$scratch/ports"; then
  echo "FAILED: the server did not start"
  cat "$scratch/requests"
  exit 1
fi
export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1
good=http://127.0.0.1:$port/good/
ranges=http://127.0.0.1:$port/ranges/
web_page=http://127.0.0.1:$port/web_page/
dead=http://127.0.0.1:$closed_port/

# begin CASE: every case starts with an empty directory.
begin() {
  case_name=$1
  directory=$scratch/files
  rm -rf "$directory"
  mkdir "$directory"
}

# check WHAT COMMAND…: ends the test when the command fails.
check() {
  if ! "${@:2}"; then
    echo "FAILED: $case_name: $1"
    echo "output of the last fetch:"
    cat "$scratch/output"
    exit 1
  fi
}

passed() {
  echo "passed: $case_name"
}

# fetch MIRROR…: sets `status` and keeps the output and the requests.
fetch() {
  status=0
  : >"$scratch/requests"
  HANDGRAD_DATA_MIRRORS="$*" "$fetch_data" "${set_name:-mnist}" "$directory" >"$scratch/output" 2>&1 || status=$?
}

has_all_files() {
  local name
  for name in "${names[@]}"; do
    cmp -s "$mnist/$name" "$directory/$name" && [[ ! -e $directory/$name.part ]] || return 1
  done
}

without_large() {
  cp "$mnist"/*.gz "$directory"
  chmod u+w "$directory"/*
  rm "$directory/$large"
}

# refused_in_one_line NAME WHY
refused_in_one_line() {
  [[ $status == 1 && ! -e $directory/$1 && ! -e $directory/$1.part ]] &&
    [[ $(grep -vc ': fetching ' "$scratch/output") == 1 ]] &&
    [[ $(tail -n 1 "$scratch/output") == *"$1 $2"* ]]
}

state() {
  find "$directory" -printf '%p %s %T@ %C@ %i\n' | sort
}

# other_data DIRECTORY NAME…: a set of two images of two pixels and its labels, under these names.
other_data() {
  local directory=$1 name file
  for name in "${@:2}"; do
    file=$directory/${name%.gz}
    case $name in
      *images*) printf '\0\0\10\3\0\0\0\2\0\0\0\1\0\0\0\2abcd' >"$file" ;;
      *) printf '\0\0\10\1\0\0\0\2\0\1' >"$file" ;;
    esac
    [[ $name != *.gz ]] || gzip "$file"
  done
}

# left_alone NAME: whether the last fetch refused, in one line, and changed and asked for nothing.
left_alone() {
  state >"$scratch/after"
  [[ $status == 1 && $(wc -l <"$scratch/output") == 1 && ! -s $scratch/requests ]] &&
    grep -qF "$1 is whole, but not of MNIST" "$scratch/output" && cmp "$scratch/before" "$scratch/after"
}

begin "a fresh fetch"
fetch "$good"
check "exit status $status" [ "$status" = 0 ]
check "the four files" has_all_files
passed

case_name="a second run touches nothing and reads no file again"
state >"$scratch/before"
mkdir "$scratch/no_gzip"
printf '#!/bin/sh\nexit 1\n' >"$scratch/no_gzip/gzip"
chmod +x "$scratch/no_gzip/gzip"
PATH=$scratch/no_gzip:$PATH fetch "$good"
check "exit status $status" [ "$status" = 0 ]
check "quiet" [ ! -s "$scratch/output" ]
check "no request" [ ! -s "$scratch/requests" ]
state >"$scratch/after"
check "the same files" cmp "$scratch/before" "$scratch/after"
passed

begin "files put there by hand are accepted"
without_large
cp "$mnist/$large" "$directory"
fetch "$dead"
check "exit status $status" [ "$status" = 0 ]
check "the four files" has_all_files
passed

begin "half a file is resumed"
without_large
head -c 5000000 "$mnist/$large" >"$directory/$large.part"
fetch "$ranges"
check "exit status $status" [ "$status" = 0 ]
check "the four files" has_all_files
check "only the rest is asked for" [ "$(grep -c '" 206 ' "$scratch/requests")" = 1 ]
check "nothing else is asked for" [ "$(grep -c GET "$scratch/requests")" = 1 ]
passed

begin "half a file is redone where the mirror has no ranges"
without_large
head -c 5000000 "$mnist/$large" >"$directory/$large.part"
fetch "$good"
check "exit status $status" [ "$status" = 0 ]
check "the four files" has_all_files
passed

begin "a wrong beginning is redone"
without_large
head -c 5000000 /dev/zero >"$directory/$large.part"
fetch "$ranges"
check "exit status $status" [ "$status" = 0 ]
check "the four files" has_all_files
passed

begin "an unfinished file longer than the real one is redone"
without_large
head -c 20000000 /dev/zero >"$directory/$large.part"
fetch "$ranges"
check "exit status $status" [ "$status" = 0 ]
check "the four files" has_all_files
passed

begin "a damaged file is reported and replaced"
fetch "$good"
printf x | dd of="$directory/$large" bs=1 seek=5000000 conv=notrunc status=none
fetch "$good"
check "exit status $status" [ "$status" = 0 ]
check "the report" grep -q "$large is damaged; it is kept as $large.damaged" "$scratch/output"
check "the four files" has_all_files
passed

case_name="damaged files are kept, each under a name of its own"
cp "$directory/$large.damaged" "$scratch/first"
head -c 5000000 "$mnist/$large" >"$directory/$large"
fetch "$good"
check "exit status $status" [ "$status" = 0 ]
check "the first" cmp "$scratch/first" "$directory/$large.damaged"
check "the second" [ "$(stat --format %s "$directory/$large.damaged-2")" = 5000000 ]
check "the four files" has_all_files
passed

for ending in .gz ""; do
  for separator in - .; do
    other=(t10k-images"$separator"idx3-ubyte"$ending" t10k-labels"$separator"idx1-ubyte"$ending")
    begin "files of another data set are left alone: ${other[0]}"
    other_data "$directory" "${other[@]}"
    state >"$scratch/before"
    fetch "$good"
    check "one line, exit status 1, nothing changed" left_alone "${other[0]}"
    echo damaged >"$directory/$large"
    state >"$scratch/before"
    fetch "$good"
    check "so is a damaged file beside them" left_alone "${other[0]}"
    passed
  done
done

begin "unpacked files of MNIST, with a dot for the dash too, are accepted"
without_large
gzip -dc "$mnist/$large" >"$directory/train-images.idx3-ubyte"
gzip -d "$directory/t10k-labels-idx1-ubyte.gz"
fetch "$dead"
check "exit status $status" [ "$status" = 0 ]
check "quiet" [ ! -s "$scratch/output" ]
check "nothing was fetched" [ ! -e "$directory/$large" ]
passed

begin "half a file that was put there unpacked is kept under another name"
without_large
gzip -dc "$mnist/$large" >"$directory/train-images-idx3-ubyte"
truncate --size 5000000 "$directory/train-images-idx3-ubyte"
fetch "$good"
check "exit status $status" [ "$status" = 0 ]
check "the half" [ "$(stat --format %s "$directory/train-images-idx3-ubyte.damaged")" = 5000000 ]
check "the four files" has_all_files
passed

begin "a pipe is refused"
mkfifo "$directory/$large"
fetch "$good"
check "exit status 1" [ "$status" = 1 ]
check "the line" grep -q "$large is no file that can be read" "$scratch/output"
passed

begin "a damaged file stays until the new one is verified"
without_large
echo damaged >"$directory/$large"
fetch "$web_page"
check "exit status $status" [ "$status" = 1 ]
check "the old file" [ "$(cat "$directory/$large")" = damaged ]
passed

begin "the second mirror where the first is dead"
fetch "$dead" "$good"
check "exit status $status" [ "$status" = 0 ]
check "the four files" has_all_files
passed

begin "the second mirror where the first gives a web page"
fetch "$web_page" "$good"
check "exit status $status" [ "$status" = 0 ]
check "the four files" has_all_files
passed

begin "a web page instead of the file"
without_large
fetch "$web_page"
check "exit status 1, one line naming the file, no file" refused_in_one_line "$large" "could not be fetched"
passed

begin "no mirror answers"
without_large
SECONDS=0
fetch "$dead" "$dead"
check "exit status 1, one line naming the file, no file" refused_in_one_line "$large" "could not be fetched"
check "within seconds" [ "$SECONDS" -le 5 ]
passed

begin "no mirror is named"
without_large
fetch
check "exit status 1, one line naming the file, no file" refused_in_one_line "$large" "is not here"
passed

# The rest of the family, as small files in their formats, with sums of their own.
look_alikes=$scratch/mirrors/ranges/family
mkdir -p "$look_alikes/gzip"
other_data "$look_alikes" "${names[@]}"
for name in {train,test}-{images-idx3,labels-idx1}-ubyte.gz; do
  cp "$look_alikes/${name/test/t10k}" "$look_alikes/gzip/emnist-letters-$name"
done
printf '0 65 97\n1 66 98\n' >"$look_alikes/gzip/emnist-letters-mapping.txt"
(cd "$look_alikes" && python3 -m zipfile -c gzip.zip gzip/ && md5sum -- *.gz gzip.zip >"$scratch/sums")
family=${ranges}family/
export HANDGRAD_DATA_SUMS=$scratch/sums

for set_name in fashion-mnist kmnist; do
  begin "$set_name, with the names of its classes"
  head -c 20 "$look_alikes/$large" >"$directory/$large.part"
  fetch "$family"
  check "exit status $status" [ "$status" = 0 ]
  for name in "${names[@]}"; do
    check "$name" cmp "$look_alikes/$name" "$directory/$name"
  done
  check "the rest of the part alone was asked for" [ "$(grep -c '" 206 ' "$scratch/requests")" = 1 ]
  check "ten names" [ "$(wc -l <"$directory/labels.txt")" = 10 ]
  echo mine >"$directory/labels.txt"
  fetch "$dead"
  check "a second run fetches nothing" [ "$status" = 0 ]
  check "names that are there stay" [ "$(cat "$directory/labels.txt")" = mine ]
  passed
done
check "the names of KMNIST" [ "$(HANDGRAD_DATA_MIRRORS=$family "$fetch_data" kmnist "$scratch/kmnist" 2>/dev/null && paste -sd' ' "$scratch/kmnist/labels.txt")" = "o ki su tsu na ha ma ya re wo" ]

set_name=kmnist
begin "a file of another content is refused, though it is whole"
(unset HANDGRAD_DATA_SUMS && fetch "$family"; echo "$status" >"$scratch/status")
status=$(<"$scratch/status")
check "exit status 1, one line" refused_in_one_line "$large" "could not be fetched"
check "the reason" grep -q "wrong checksum" "$scratch/output"
passed

set_name=emnist
begin "emnist: a broken download goes on, and is unpacked"
head -c 100 "$look_alikes/gzip.zip" >"$directory/gzip.zip.part"
fetch "$family"
check "exit status $status" [ "$status" = 0 ]
check "its files" [ "$(find "$directory" -name "emnist-*" | wc -l)" = 5 ]
check "one of them" cmp "$look_alikes/gzip/emnist-letters-mapping.txt" "$directory/emnist-letters-mapping.txt"
check "the rest alone was asked for" [ "$(grep -c '" 206 ' "$scratch/requests")" = 1 ]
fetch "$dead"
check "a second run fetches nothing" [ "$status" = 0 ]
echo more >>"$directory/emnist-letters-mapping.txt"
fetch "$family"
check "files that were changed are left alone" grep -q "did not put there, or that were changed since" "$scratch/output"
passed

begin "a set that is none"
set_name=cifar
fetch "$family"
check "exit status $status" [ "$status" = 1 ]
check "the line" grep -q "name a data set: fetch_data.sh mnist|fashion-mnist|kmnist|emnist" "$scratch/output"
passed
set_name=mnist
unset HANDGRAD_DATA_SUMS

# run.sh in a repository of which nothing is built: it says what it would train on.
repository=$scratch/repository
mkdir -p "$repository"/{scripts,build,bin}
cp "$scripts"/{run,common,fetch_data}.sh "$repository/scripts"
touch -d yesterday "$repository/CMakePresets.json"
touch "$repository/build/build.ninja"
for stub in scripts/setup.sh bin/cmake; do
  printf '#!/bin/sh\n' >"$repository/$stub"
done
# shellcheck disable=SC2016  # the program expands it
printf '#!/bin/sh\necho "trained: $*"\n' >"$repository/build/handgrad"
chmod +x "$repository"/{scripts/setup.sh,bin/cmake,build/handgrad}

# train MIRROR…: as fetch, of run.sh.
train() {
  status=0
  (unset MNIST_DIR && PATH=$repository/bin:$PATH HANDGRAD_DATA_MIRRORS="$*" "$repository/scripts/run.sh" --epochs 5) \
    >"$scratch/output" 2>&1 || status=$?
}

# in_repository CASE: begins it with an empty data/mnist.
in_repository() {
  begin "run.sh: $1"
  rm -rf "$repository/data"
  mkdir -p "$repository/data"
  ln -s "$directory" "$repository/data/mnist"
}

in_repository "fetches MNIST"
train "$good"
check "exit status $status" [ "$status" = 0 ]
check "the four files" has_all_files
check "what it trains on" grep -qx "trained: train --data data/mnist --epochs 5" "$scratch/output"
passed

in_repository "trains on a data set of another content, and says so"
other_data "$directory" "${names[@]}"
state >"$scratch/before"
train "$good"
state >"$scratch/after"
check "exit status $status" [ "$status" = 0 ]
check "the same files" cmp "$scratch/before" "$scratch/after"
check "that it is not MNIST" grep -q "is whole, but not of MNIST" "$scratch/output"
check "that it trains all the same" grep -q "training on the files in data/mnist as they are" "$scratch/output"
check "what it trains on" grep -qx "trained: train --data data/mnist --epochs 5" "$scratch/output"
passed

in_repository "stops where only a part of a data set is there"
other_data "$directory" "${names[@]:0:3}"
train "$good"
check "exit status $status" [ "$status" = 1 ]
check "the reason" grep -q "data/mnist has 3 of the 4 files of a data set" "$scratch/output"
check "nothing was fetched" [ ! -e "$directory/${names[3]}" ]
passed

in_repository "trains on the synthetic digits where there is nothing and no mirror answers"
train "$dead"
check "exit status $status" [ "$status" = 0 ]
check "the warning" grep -q "no MNIST here, and it could not be fetched" "$scratch/output"
check "what it trains on" grep -qx "trained: train --data synthetic --epochs 5" "$scratch/output"
passed

begin "bench.sh, of two rounds and without Python"
status=0
HANDGRAD_PROGRAM=$program PYTHON=none "$scripts/bench.sh" 2 >"$scratch/output" 2>&1 || status=$?
check "exit status $status" [ "$status" = 0 ]
check "a row of the table" grep -qE '^\| handgrad on one core \| [0-9.]+ \| [0-9.]+ to [0-9.]+ \| 1\.00 \|$' "$scratch/output"
passed

begin "bench.sh, of a wide network"
status=0
env -u MNIST_DIR HANDGRAD_PROGRAM="$program" PYTHON=none "$scripts/bench.sh" --wide 1 >"$scratch/output" 2>&1 || status=$?
check "exit status $status" [ "$status" = 0 ]
check "three rows with one thread" [ "$(grep -cE '^\| handgrad( --[a-z]+.*)? \| 1 \| [1-9][0-9]* \| [1-9][0-9]* to [1-9][0-9]* \|$' "$scratch/output")" = 3 ]
passed
