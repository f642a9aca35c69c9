#!/usr/bin/env bash
# Sets up, builds and runs the tests; with --all also those that take long.
#
#   test/run.sh [--all]
#
# The last line says how many tests passed and failed. Status 0 if some passed and none failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Left out where others are nearly the same: of CPU levels those whose code of a kind another level has too, of emulated GPUs families of
# the same kernels.
levels_out='^(Matmul|Attention)KernelTest.*/(avx512|avx512vnni|neon)[_ ]|^QuantizedPanelsTest.*/(avx512|avx512bf16|neon)_'
levels_out+='|^(ElementaryFunctions|GatheredKeys|IndexKernel|KernelBuilder)Test.*/(avx512vnni|avx512bf16|amx|neonbf16) '
devices_out='^end_to_end\.device-(mixtral_bf16|mixtral_sharded|qwen3_moe|qwen3_moe_bf16|olmoe|deepseek_v2|kimi_k2)$'
all= fuzz_seconds=5 parsers_only=ON left_out="$levels_out|$devices_out"
case "${1-}" in
  "") ;;
  --all) all=1 fuzz_seconds=120 parsers_only=OFF left_out= ;;
  *) echo "usage: test/run.sh [--all]" >&2; exit 2 ;;
esac
jobs=$(nproc)
status=0

test/setup.sh --tests ${all:+--all}

# run_tests PRESET: builds the preset and runs its tests.
folders=()
run_tests() {
  test/build.sh "$1"
  rm -f "build/$1/tests.xml" "build/$1/test/lit.xml"
  echo "testing build/$1"
  ctest --test-dir "build/$1" --output-junit tests.xml --output-on-failure -j "$jobs" --progress \
    ${left_out:+-E "$left_out"} || status=1
  folders+=("build/$1")
}

[ ! -d build/aarch64-libraries ] || test/build.sh aarch64 # for tests of what build/release makes
MOEC_TEST_ALL=$all run_tests release # with it, the end-to-end tests take every case in every form
# A preset again would have the compiler anew, and forget the rest.
how=(--preset asan)
[ ! -f build/asan/build.ninja ] || how=(build/asan)
cmake "${how[@]}" -DMOEC_FUZZ_SECONDS="$fuzz_seconds" -DMOEC_PARSERS_ONLY="$parsers_only" >/dev/null
run_tests asan
if [ -n "$all" ]; then
  run_tests asan-compiler
fi

# By name and last, since what a failed test printed may be far above.
build/python/bin/python test/summary.py "${folders[@]}" || status=1
exit $status
