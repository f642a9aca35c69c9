#!/usr/bin/env bash
# Installs what building moec needs; quiet when nothing is missing.
#
#   test/setup.sh [--aarch64 | --tests [--all]]
#
# With --aarch64, also what programs for AArch64 need on x86-64; with --tests, also that and what the tests need; with --all, what
# those tests need that only test/run.sh --all runs.
#
# Packages come from apt where this user may install (root, or sudo without a password); otherwise the script
# prints what is missing and stops with status 1. The tests' Python lives in build/python and touches no other.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build_packages="cmake ninja-build g++ clang-22 lld-22 liblld-22-dev llvm-22-dev libmlir-22-dev mlir-22-tools
  libfmt-dev libcli11-dev nlohmann-json3-dev libpcre2-dev libutf8proc-dev libgtest-dev zlib1g-dev libzstd-dev
  protobuf-compiler libprotobuf-dev python3 python3-venv"
aarch64_packages=
[ "$(uname -m)" = aarch64 ] || aarch64_packages="libstdc++-12-dev-arm64-cross"
test_packages="libclang-rt-22-dev clang-format-22 clang-tidy-22 qemu-user"

machine_packages= # of a virtual machine; it runs programs for x86-64
[ "$(uname -m)" != x86_64 ] || machine_packages="qemu-system-x86 e2fsprogs"

packages=$build_packages aarch64= machine=
case "$*" in
  "") ;;
  --aarch64) packages="$packages $aarch64_packages" aarch64=$aarch64_packages ;;
  --tests) packages="$packages $aarch64_packages $test_packages" aarch64=$aarch64_packages ;;
  "--tests --all")
    packages="$packages $aarch64_packages $test_packages $machine_packages" aarch64=$aarch64_packages machine=$machine_packages ;;
  *) echo "usage: test/setup.sh [--aarch64 | --tests [--all]]" >&2; exit 2 ;;
esac

log=$PWD/build/setup.log
say() { echo "setup: $*" >&2; }

# Runs a long command: its output is shown on a terminal, else kept and shown only if it fails.
run_long() {
  if [ -t 2 ]; then
    "$@" >&2
  else
    mkdir -p "$(dirname "$log")"
    "$@" >"$log" 2>&1 || { tail -n 30 "$log" >&2; return 1; }
  fi
}

case "$(uname -s) $(uname -m)" in
  "Linux x86_64" | "Linux aarch64") ;;
  *) say "moec builds on Linux x86-64 and AArch64 only; this is $(uname -s) $(uname -m)"; exit 1 ;;
esac

if ! command -v dpkg-query >/dev/null; then
  say "this system has no dpkg, so what is missing cannot be told or installed here; moec needs what Debian 12 calls"
  printf '  %s\n' $packages >&2
  exit 1
fi

missing=
installed=" $(dpkg-query -W -f '${Package} ${db:Status-Status}\n' $packages 2>/dev/null |
  awk '$2 == "installed" { printf "%s ", $1 }')" || true
for package in $packages; do
  case "$installed" in
    *" $package "*) ;;
    *) missing="$missing $package" ;;
  esac
done

if [ -n "$missing" ]; then
  become=
  if [ "$(id -u)" != 0 ]; then
    become="sudo -n"
    if ! sudo -n true 2>/dev/null; then
      say "these packages are missing, and only root can install them:"
      printf '  %s\n' $missing >&2
      say "run: sudo apt-get install$missing"
      exit 1
    fi
  fi
  say "installing$missing"
  install() {
    run_long $become env DEBIAN_FRONTEND=noninteractive apt-get -y -q --no-install-recommends install $missing
  }
  # The package lists of a fresh machine are empty or old: they are fetched when the first try shows that.
  if ! apt-get -s -qq --no-install-recommends install $missing >/dev/null 2>&1 || ! install 2>/dev/null; then
    say "fetching the package lists"
    run_long $become apt-get -q update
    if ! install; then
      say "apt could not install all of:$missing"
      say "they are in Debian 12 and its security archive; see that /etc/apt/sources.list has both"
      exit 1
    fi
  fi
fi

# The messages of ONNX files: onnx.proto, of the package that frontends/onnx/requirements.txt names, is kept in build/onnx.
schema=build/onnx
if ! cmp -s frontends/onnx/requirements.txt "$schema/requirements.txt" || [ ! -f "$schema/onnx.proto" ]; then
  say "fetching onnx.proto"
  part=$schema.part
  rm -rf "$part"
  mkdir -p "$part/python" "$schema"
  if run_long /usr/bin/python3 -m venv "$part/python" &&
    run_long "$part/python/bin/python3" -m pip download --disable-pip-version-check -q --no-deps --only-binary :all: \
      -d "$part" -r frontends/onnx/requirements.txt &&
    run_long /usr/bin/python3 -m zipfile -e "$part"/onnx-*.whl "$part/package"; then
    mv "$part/package/onnx/onnx.proto" "$schema"
    cp frontends/onnx/requirements.txt "$schema"
    rm -rf "$part"
  else
    rm -rf "$part"
    say "pip could not fetch what frontends/onnx/requirements.txt lists; $schema/onnx.proto, a file of that package, is missing"
    exit 1
  fi
fi

# Libraries that Debian has for AArch64 machines only: unpacked, as installing them would take that architecture into dpkg.
if [ -n "$aarch64" ]; then
  libraries=build/aarch64-libraries
  if [ ! -f "$libraries/usr/lib/aarch64-linux-gnu/libutf8proc.a" ]; then
    say "fetching PCRE2 and utf8proc for AArch64"
    rm -rf "$libraries"
    mkdir -p "$libraries/apt/lists/partial"
    (
      cd "$libraries/apt"
      arm64=(-q -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o "Dir::State=$PWD" -o "Dir::Cache=$PWD"
        -o Dir::State::status=/dev/null -o Debug::NoLocking=1 -o APT::Sandbox::User=)
      run_long apt-get "${arm64[@]}" update && run_long apt-get "${arm64[@]}" download libpcre2-dev libutf8proc-dev
    ) || {
      say "apt could not fetch libpcre2-dev and libutf8proc-dev for arm64"
      rm -rf "$libraries"
      [ "$1" = --tests ] || exit 1
      say "programs for AArch64 are not tested"
    }
    for archive in "$libraries"/apt/*.deb; do [ ! -f "$archive" ] || dpkg-deb -x "$archive" "$libraries"; done
    rm -rf "$libraries/apt"
  fi
fi

# A kernel for virtual machines: unpacked, as installing it would make it this machine's.
if [ -n "$machine" ] && [ ! -d build/two-nodes ]; then
  say "fetching a kernel for virtual machines"
  folder=build/two-nodes.part
  rm -rf "$folder"
  mkdir -p "$folder"
  kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1)
  if (cd "$folder" && run_long apt-get -q -o APT::Sandbox::User= download "${kernel:-linux-image-cloud-amd64}" busybox-static); then
    for archive in "$folder"/*.deb; do dpkg-deb -x "$archive" "$folder"; rm "$archive"; done
    mv "$folder" build/two-nodes
  else
    say "apt could not fetch linux-image-cloud-amd64 and busybox-static"
    say "programs are not tested on several nodes of memory"
    rm -rf "$folder"
  fi
fi

if [ "${1-}" = --tests ]; then
  stamp=build/python/requirements.txt
  if ! cmp -s test/requirements.txt "$stamp"; then
    say "making build/python for the tests"
    rm -rf build/python
    run_long /usr/bin/python3 -m venv build/python
    if ! run_long build/python/bin/python3 -m pip install --disable-pip-version-check -q -r test/requirements.txt; then
      say "pip could not install what test/requirements.txt lists into build/python"
      exit 1
    fi
    cp test/requirements.txt "$stamp"
  fi
fi
