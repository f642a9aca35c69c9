#!/usr/bin/env bash
# Sets up, builds and runs the tests; with --all also those that take long.
#
#   test/run.sh [--all]
#
# The last line says how many tests passed and failed. Status 0 if none failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

all=
case "${1-}" in
  "") ;;
  --all) all=1 ;;
  *) echo "usage: test/run.sh [--all]" >&2; exit 2 ;;
esac
jobs=$(nproc)
status=0

test/setup.sh --tests

# run_tests PRESET [CTEST OPTION...]: builds the preset and runs its tests, two kinds of results lying beside it.
run_tests() {
  local preset=$1
  shift
  test/build.sh "$preset"
  rm -f "build/$preset/tests.xml" "build/$preset/test/lit.xml"
  echo "testing build/$preset"
  ctest --test-dir "build/$preset" --output-junit tests.xml --output-on-failure -j "$jobs" \
    --progress "$@" || status=1
}

if [ -n "$all" ]; then
  export MOEC_TEST_ALL=1 # the end-to-end tests take every case in every form
fi
run_tests release
if [ -n "$all" ]; then
  cmake --preset asan -DMOEC_FUZZ_SECONDS=300 >/dev/null
  run_tests asan
  run_tests asan-compiler
else
  run_tests asan
fi

# ctest counts lit's run as one test; lit's own count takes its place.
count() { # count ATTRIBUTE: its sum over all result files
  cat build/*/tests.xml build/*/test/lit.xml 2>/dev/null | grep '<testsuite ' |
    grep -o " $1=\"[0-9]*\"" | tr -dc '0-9\n' | awk '{ sum += $1 } END { print sum + 0 }'
}
tests=$(count tests) failed=$(count failures) skipped=$(($(count skipped) + $(count disabled)))
for results in build/*/test/lit.xml; do
  [ -e "$results" ] || continue
  tests=$((tests - 1))
  grep -q '<testsuite .* failures="0"' "$results" || failed=$((failed - 1))
done
echo "$((tests - failed - skipped)) passed, $failed failed"
exit $status
