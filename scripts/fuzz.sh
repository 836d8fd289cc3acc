#!/usr/bin/env bash
# Fuzzes the parsers of tests/fuzz.cpp with libFuzzer and the sanitizers: replays what was found before, then mutates seeds.
# Arguments: for each parser seconds [60], or a number of executions such as 5000x, the same ones each time on any machine; the
# parsers [all]. Writes the executions and the coverage of each, and what it finds into build/fuzz. Needs clang with its runtime,
# and build/handgrad for seeds.
set -euo pipefail
cd -- "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh
amount=${1:-60}
[[ $amount =~ ^[0-9]+x?$ ]] || fail "the first argument must be seconds, such as 60, or executions, such as 5000x, not '$amount'"
if [[ $amount == *x ]]; then limit=-runs=${amount%x}; else limit=-max_total_time=$amount; fi
shift || true
parsers=(idx gzip picture labels safetensors checkpoint pickle names zip toml)
if (($# > 0)); then parsers=("$@"); fi
command -v clang++ >/dev/null || fail "no clang++ here; scripts/setup.sh --tests installs it"
[[ -x build/handgrad ]] || fail "no build/handgrad for the seeds; build it first"

work=build/fuzz
mkdir -p "$work"
sources=(core/base/{numbers,printable}.cpp core/files/{file,json_check,sha256,zip}.cpp core/data/{class_names,digit_picture,exif,idx,leptonica,picture}.cpp core/models/{layer_names,pickle_machine,pickle_reader,pickle_writer,safetensors}.cpp
  core/train/checkpoint.cpp)
# Of what reads a sweep's file the parsers; the rest, which shares headers with LibTorch and takes long to compile, is linked as the
# build made it.
toml_sources=(app/cli/options.cpp app/sweep/{sweep_file,toml_file}.cpp)
toml_rest=(build/CMakeFiles/handgrad.dir/app/{cli/{json,settings},run/run_directory,sweep/{measures,sweep_directory}}.cpp.o
  build/libhandgrad_core.a -ltorch -ltorch_cpu -lc10 -lgomp)
# libxsmm, where the build has it.
mapfile -t -O "${#toml_rest[@]}" toml_rest < <(sed -nE 's|^HANDGRAD_XSMM_[A-Z_]+:FILEPATH=(/.*)|\1|p' build/CMakeCache.txt | sort)
flags='-std=c++17 -g -O1 -Ibuild/include -Iapp -fsanitize=address,undefined -fno-sanitize-recover=undefined'
compiler=clang++
if command -v ccache >/dev/null; then compiler='ccache clang++'; fi
object_of() {
  printf '%s/%s.o' "$work" "$(basename "$1" .cpp)"
}
# compile SOURCE OBJECT MACRO: tests/fuzz.cpp asks for FUZZ_PARSER, the sources of the program for none.
compile() {
  local words
  read -r -a words <<<"$compiler $flags -fsanitize=fuzzer-no-link"
  quietly "${words[@]}" "-D$3" -c "$1" -o "$2" || fail "cannot compile $1"
}
export -f compile fail quietly say
export compiler flags

if [[ " ${parsers[*]} " == *" toml "* ]]; then needed=("${sources[@]}" "${toml_sources[@]}"); else needed=("${sources[@]}"); fi
{
  for source in "${needed[@]}"; do printf '%s\0' "$source" "$(object_of "$source")" FUZZ; done
  for parser in "${parsers[@]}"; do printf '%s\0' tests/fuzz.cpp "$work/fuzz_$parser.o" "FUZZ_${parser^^}"; done
} | xargs -0 -n 3 -P "$(nproc)" bash -c 'compile "$@"' "${0##*/}"

# Seeds: small files of every kind, written by the program and by Python.
rm -rf "$work/seeds" "$work/run"
mkdir -p "$work/seeds"/{idx,gzip,picture,labels,safetensors,checkpoint,pickle,names,zip,toml}
quietly build/handgrad train --device cpu --data synthetic --hidden 2 --batch-norm --epochs 0 --out "$work/run"
cp "$work/run/checkpoint.safetensors" "$work/seeds/checkpoint"
for format in safetensors state-dict; do
  quietly build/handgrad export "$work/run" --format "$format" --output "$work/seeds/model.$format"
done
mv "$work/seeds/model.safetensors" "$work/seeds/safetensors/model"
mv "$work/seeds/model.state-dict" "$work/seeds/zip/model"
cp scripts/experiments/*.toml "$work/seeds/toml"
python3 - "$work/seeds" <<'END_OF_PYTHON'
import base64, gzip, json, pathlib, struct, sys, zipfile, zlib

seeds = pathlib.Path(sys.argv[1])
images = bytes([0, 0, 8, 3]) + struct.pack(">III", 2, 3, 2) + bytes(range(12))
(seeds / "idx/images").write_bytes(images)
(seeds / "idx/labels").write_bytes(bytes([0, 0, 8, 1]) + struct.pack(">I", 4) + bytes(4))
(seeds / "labels/names").write_bytes("lT-shirt/top\nBag\n\u3042\n".encode())
(seeds / "labels/mapping").write_bytes(b"m0 48\n1 65 97\n2 66\n")
(seeds / "gzip/plain").write_bytes(images)
(seeds / "gzip/one").write_bytes(gzip.compress(images * 20))
(seeds / "gzip/two").write_bytes(gzip.compress(images) + gzip.compress(images[:5], 1))

def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

for depth, colour, samples in ((8, 0, 1), (8, 2, 3), (8, 3, 1), (16, 4, 2), (8, 6, 4)):
    row = b"\0" + bytes(range(3 * samples * depth // 8))
    header = struct.pack(">IIBBBBB", 3, 2, depth, colour, 0, 0, 0)
    palette = chunk(b"PLTE", bytes(range(9))) + chunk(b"tRNS", bytes([0, 128])) if colour == 3 else b""
    body = chunk(b"IHDR", header) + palette + chunk(b"IDAT", zlib.compress(row * 2)) + chunk(b"IEND", b"")
    (seeds / f"picture/{colour}").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
# A grey JPEG, 3 x 2, that lies on its side.
exif = bytes.fromhex("457869660000 4d4d002a00000008 0001 011200030000000100060000")
photo = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABsSFBcUERsXFhceHBsgKEIrKCUlKFE6PTBCYFVlZF9VXVtqeJmBanGQc1tdhbWGkJ6jq62rZ4C8ybqm"
    "x5moq6T/wAALCAACAAMBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAABf/EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQEAAD8AVf/Z"
)
(seeds / "picture/photo").write_bytes(photo[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif + photo[2:])
header = json.dumps({"w": {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]}}).encode()
(seeds / "safetensors/small").write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
archive = zipfile.ZipFile(seeds / "zip/model")
state_dict = archive.read("archive/data.pkl")
(seeds / "pickle/model").write_bytes(state_dict)

def text(words):
    return b"X" + struct.pack("<I", len(words)) + words

# The same inside of a dict: {"epoch": 3, "model": {…}, "optimizer": {"state": {1: {"lr": 0.5}}}, "best": None}
inner = state_dict[2:-1]
optimizer = b"}(" + text(b"state") + b"}(K\x01}(" + text(b"lr") + b"G" + struct.pack(">d", 0.5) + b"uuu"
entries = text(b"epoch") + b"K\x03" + text(b"model") + inner + text(b"optimizer") + optimizer + text(b"best") + b"N"
(seeds / "pickle/checkpoint").write_bytes(b"\x80\x02}(" + entries + b"u.")

def layers(names, widths):
    shapes = zip(names, widths[1:], widths)
    return "".join(f"{name}.weight {out}{fan_in}\n{name}.bias {out}\n" for name, out, fan_in in shapes)

def batch_norm(name, units):
    leaves = ("weight", "bias", "running_mean", "running_var")
    return "".join(f"{name}.{leaf} {units}\n" for leaf in leaves) + f"{name}.num_batches_tracked\n"

for name, lines in {
    "sequential": layers(["1", "3", "5"], "6543"),
    "numbered": layers(["fc1", "fc2", "fc3"], "6553") + batch_norm("bn1", 5) + batch_norm("bn2", 5),
    "normal": layers(["net.0", "net.3"], "653") + batch_norm("net.2", 5),
    "shapes": layers(["c", "a", "b"], "6543"),
    "two ways": layers(["a", "b"], "555"),
}.items():
    (seeds / "names" / name.replace(" ", "-")).write_text(lines)
with zipfile.ZipFile(seeds / "zip/small", "w") as small:
    small.writestr("a/data.pkl", b"hello")
    small.writestr("a/version", b"3\n")
END_OF_PYTHON

fuzz() {
  local parser=$1 executable=$work/fuzz_$1 findings=tests/fuzz_findings/$1
  mkdir -p "$work/corpus/$parser"
  if [[ -d $findings ]]; then
    quietly "$executable" "$findings"/* || { say "$parser: an old finding is back"; return 1; }
  fi
  if ! "$executable" -seed=1 "$limit" -max_len=65536 -rss_limit_mb=4096 -timeout=20 -print_final_stats=1 \
    -artifact_prefix="$work/$parser-" "$work/corpus/$parser" "$work/seeds/$parser" >"$work/$parser.log" 2>&1; then
    tail -n 40 "$work/$parser.log" >&2
    say "$parser: a finding, see $work/$parser-*; keep it in $findings"
    return 1
  fi
  say "$parser: $(sed -nE 's/^stat::number_of_executed_units: *//p' "$work/$parser.log") executions," \
    "$(grep -oE 'cov: [0-9]+' "$work/$parser.log" | tail -n 1), no finding"
}
export -f fuzz
export work limit

for parser in "${parsers[@]}"; do
  parts=("$work/fuzz_$parser.o")
  for source in "${sources[@]}"; do parts+=("$(object_of "$source")"); done
  libraries=()
  if [[ $parser == toml ]]; then
    for source in "${toml_sources[@]}"; do parts+=("$(object_of "$source")"); done
    libraries=("${toml_rest[@]}")
  fi
  read -r -a words <<<"clang++ $flags -fsanitize=fuzzer"
  quietly "${words[@]}" "${parts[@]}" -o "$work/fuzz_$parser" "${libraries[@]}" -lfmt -lz -llept -lcrypto ||
    fail "cannot link the fuzzer of $parser"
done
printf '%s\n' "${parsers[@]}" | xargs -P "$(nproc)" -I {} bash -c 'fuzz {}' "${0##*/}"
