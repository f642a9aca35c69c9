#!/usr/bin/env bash
# Sets up, builds and runs the tests; with --all also those that take long.
#
#   test/run.sh [--all]
#
# The last line says how many tests passed and failed. Status 0 if none failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

all= fuzz_seconds=30
case "${1-}" in
  "") ;;
  --all) all=1 fuzz_seconds=300 ;;
  *) echo "usage: test/run.sh [--all]" >&2; exit 2 ;;
esac
jobs=$(nproc)
status=0 lit_runs=0 lit_failures=0

test/setup.sh --tests

# run_tests PRESET [CTEST OPTION...]: builds the preset and runs its tests; notes where their results lie.
results=()
run_tests() {
  local preset=$1
  shift
  test/build.sh "$preset"
  rm -f "build/$preset/tests.xml" "build/$preset/test/lit.xml"
  echo "testing build/$preset"
  ctest --test-dir "build/$preset" --output-junit tests.xml --output-on-failure -j "$jobs" \
    --progress "$@" || status=1
  results+=("build/$preset/tests.xml")
  # ctest counts lit's run as one test; lit's own count takes its place.
  if [ -e "build/$preset/test/lit.xml" ]; then
    results+=("build/$preset/test/lit.xml")
    lit_runs=$((lit_runs + 1))
    grep -q '<testsuite .* failures="0"' "build/$preset/test/lit.xml" || lit_failures=$((lit_failures + 1))
  fi
}

MOEC_TEST_ALL=$all run_tests release # with it, the end-to-end tests take every case in every form
cmake --preset asan -DMOEC_FUZZ_SECONDS="$fuzz_seconds" >/dev/null
run_tests asan
if [ -n "$all" ]; then
  run_tests asan-compiler
fi

count() { # count ATTRIBUTE: its sum over the results
  grep -h '<testsuite ' "${results[@]}" | grep -o " $1=\"[0-9]*\"" | tr -dc '0-9\n' |
    awk '{ sum += $1 } END { print sum + 0 }'
}
tests=$(($(count tests) - lit_runs)) failed=$(($(count failures) - lit_failures))
skipped=$(($(count skipped) + $(count disabled)))
# By name, since what they printed may be far above.
for file in "${results[@]}"; do
  sed -n 's|^.*<testcase name="\([^"]*\)".* status="fail".*|failed: '"${file%/*.xml}"' \1|p' "$file"
done
echo "$((tests - failed - skipped)) passed, $failed failed"
exit $status
