"""Names the failed tests of some JUnit files, then says how many tests passed and failed.

    test/summary.py BUILD_FOLDER...

Reads each folder's tests.xml, which ctest wrote, and test/lit.xml, if lit ran: ctest counts that
run as one test, and lit's own count takes its place. Status 0 if tests passed and none failed.
"""

import sys
import xml.etree.ElementTree as xml
from pathlib import Path


def failed(case):
    """Whether a <testcase> failed; what could not be started at all did, what skips itself did not."""
    skip = case.find("skipped")
    if case.get("status") == "notrun":
        return skip is None or not skip.get("message", "").startswith("SKIP_")
    return case.find("failure") is not None or case.find("error") is not None


def main(folders):
    passed, failures = 0, []
    for folder in map(Path, folders):
        lit, ctest = folder / "test" / "lit.xml", folder / "tests.xml"
        if not ctest.exists():
            failures.append(f"{folder} ctest")
            continue
        cases = [case for case in xml.parse(ctest).iter("testcase")
                 if not (case.get("name") == "lit" and lit.exists())]
        if lit.exists():
            cases += xml.parse(lit).iter("testcase")
        for case in cases:
            if failed(case):
                failures.append(f"{folder} {case.get('name')}")
            elif case.find("skipped") is None and case.get("status") != "disabled":
                passed += 1
    for name in failures:
        print(f"failed: {name}")
    print(f"{passed} passed, {len(failures)} failed")
    return 0 if passed and not failures else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
