"""test/summary.py counts what ctest and lit really write: passed, failed, skipped and never started."""

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
LIT = """<?xml version="1.0" encoding="UTF-8"?>
<testsuites time="1"><testsuite name="moec" tests="2" failures="1" skipped="0" time="1">
<testcase classname="moec.dialects" name="ops.mlir" time="0.1"/>
<testcase classname="moec.dialects" name="invalid.mlir" time="0.1"><failure><![CDATA[no]]></failure></testcase>
</testsuite></testsuites>
"""


def summary(folder, tests, lit=None):
    """(status, lines printed) of summary.py over a run of ctest on `tests`, lines of CMake; None: it did not run."""
    (folder / "test").mkdir(parents=True)
    if tests is not None:
        (folder / "CTestTestfile.cmake").write_text(tests)
        subprocess.run(["ctest", "--test-dir", folder, "--output-junit", "tests.xml"], stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=False)
    if lit:
        (folder / "test" / "lit.xml").write_text(lit)
    result = subprocess.run([sys.executable, "-B", HERE / "summary.py", folder], capture_output=True, text=True,
                            check=False)
    return result.returncode, (result.stdout + result.stderr).splitlines()


def expect(found, wanted):
    if found != wanted:
        sys.exit(f"found {found}\nwanted {wanted}")


with tempfile.TemporaryDirectory() as work:
    skips = 'add_test(skips sh -c "exit 77")\nset_tests_properties(skips PROPERTIES SKIP_RETURN_CODE 77)\n'
    good, bad = Path(work, "good"), Path(work, "bad")
    expect(summary(good, "add_test(lit true)\nadd_test(a true)\nadd_test(b true)\n" + skips),
           (0, ["3 passed, 0 failed"]))
    expect(summary(bad, "add_test(lit false)\nadd_test(a true)\nadd_test(b false)\nadd_test(c /nowhere)\n" + skips,
                   LIT),
           (1, [f"failed: {bad} b", f"failed: {bad} c", f"failed: {bad} invalid.mlir", "2 passed, 3 failed"]))
    expect(summary(Path(work, "none"), ""), (1, ["0 passed, 0 failed"]))
    killed = Path(work, "killed")  # where ctest was ended it wrote nothing
    expect(summary(killed, None), (1, [f"failed: {killed} ctest", "0 passed, 1 failed"]))
