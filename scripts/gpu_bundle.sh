#!/usr/bin/env bash
# Gathers into one folder the headers and libraries that a machine lacks which has Python's PyTorch, CMake, Ninja, a C++ compiler
# and CUDA, but no access to packages: the first argument of gpu_check.sh there. They come from this machine's Debian by apt-get.
# Argument: the folder, new or empty.
set -euo pipefail
caller=$PWD
cd -- "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh
[[ $# == 1 && -n $1 ]] || fail "give the folder to fill, and nothing else, such as: $0 bundle"
case $1 in
  /*) folder=$1 ;;
  *) folder=$caller/$1 ;;
esac
[[ ! -e $folder || (-d $folder && -z $(ls -A "$folder")) ]] || fail "$1 is there and not empty; name a new folder"
for tool in apt-get dpkg-deb g++ readelf; do
  command -v "$tool" >/dev/null || fail "no $tool here; this needs Debian or what is made from it, and g++"
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# What the packages for development depend on is taken along as far as it is named here: not the C library, and no tools.
packages=(libcxxopts-dev zlib1g-dev libfmt-dev nlohmann-json3-dev libtomlplusplus-dev libboost-dev libleptonica-dev libssl-dev catch2
  librapidcheck-dev)
needed='^(zlib1g|libfmt[0-9]+|libtomlplusplus3.*|libboost[0-9.]+-dev|liblept5|libleptonica6|libssl3.*)$'
mapfile -t more < <(apt-cache depends --important "${packages[@]}" | sed -nE 's/^ *Depends: ([^<]+)$/\1/p' | sort -u |
  grep -E "$needed")
((${#more[@]} > 0)) || fail "apt knows no packages; run: apt-get update"
mkdir "$scratch/packages" "$scratch/root"
# apt's own user may not write here, which it says in a warning.
(cd "$scratch/packages" && quietly apt-get -o APT::Sandbox::User=root download "${packages[@]}" "${more[@]}") ||
  fail "apt-get could not download ${packages[*]} ${more[*]}"
for package in "$scratch"/packages/*.deb; do dpkg-deb --extract "$package" "$scratch/root"; done

# Packages of before the merge of /lib and /usr/lib name their libraries by whole paths.
usr=$scratch/root/usr
if [[ -d $scratch/root/lib ]]; then
  cp -R "$scratch/root/lib/." "$usr/lib"
  rm -r "$scratch/root/lib"
fi
find "$usr/lib" -lname '/*' -print0 | while IFS= read -r -d '' link; do ln -sf "$(basename "$(readlink "$link")")" "$link"; done

# Of Boost, a hundred times too large, only the headers that the sources reach.
mkdir "$scratch/boost"
grep -hoE '^#include <boost/[^>]+>' {core,app}/*/*.{h,cpp} | sort -u |
  g++ -std=c++17 -M -x c++ -I "$usr/include" - | grep -oE "$usr/include/boost/[^ ]+" | sed "s|^$usr/include/||" | sort -u |
  tar -C "$usr/include" --files-from=- -cf - | tar -C "$scratch/boost" -xf -
rm -rf "$usr/include/boost"
mv "$scratch/boost/boost" "$usr/include/boost"

# Nothing reads the documentation; where there is a shared library, its static twin is not linked.
rm -rf "${usr:?}/bin" "$usr"/share/{doc,doc-base,man,lintian} "$scratch/root/etc"
for library in "$usr"/lib/*/*.a; do
  if [[ -e ${library%.a}.so ]]; then rm "$library"; fi
done
mkdir -p "$folder"
cp -R "$scratch/root/." "$folder"
glibc=$(find "$folder" -name '*.so*' -type f -exec readelf --wide --version-info {} + 2>/dev/null |
  grep -oE 'GLIBC_[0-9.]+' | sort -uV | tail -n 1)
say "$(du -sm "$folder" | cut -f 1) MB in $1; it needs glibc ${glibc#GLIBC_} or newer. There: scripts/gpu_check.sh $1"
