#!/usr/bin/env bash
# Tests scripts/fetch_mnist.sh against a server of its own; exits 77, "skipped", where MNIST_DIR is not set.
set -euo pipefail

if [[ -z ${MNIST_DIR-} ]]; then
  echo "skipped: MNIST_DIR, the directory with the four MNIST files, is not set"
  exit 77
fi
mnist=$(cd "$MNIST_DIR" && pwd)
fetch_mnist=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/scripts/fetch_mnist.sh
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
  HANDGRAD_MNIST_MIRRORS="$*" "$fetch_mnist" "$directory" >"$scratch/output" 2>&1 || status=$?
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
check "the report" grep -q "$large is damaged" "$scratch/output"
check "the four files" has_all_files
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
