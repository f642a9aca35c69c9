#!/usr/bin/env bash
# Checks that the C and C++ files are as clang-format 22 leaves them; with --fix formats them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

how="--dry-run --Werror"
[ "${1-}" = --fix ] && how=-i
git ls-files -z -- '*.h' '*.cpp' '*.c' | xargs -0 -r -n 16 -P "$(nproc)" clang-format-22 $how
