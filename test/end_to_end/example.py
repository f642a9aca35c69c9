"""examples/dictionary/run.sh: its answer alone on stdout, and at once when nothing has changed."""

import time

from programs import TEST, Checks, succeed

COMMAND = TEST.parent / "examples/dictionary/run.sh"
WANT = ("(noun.object): a fissure in the earth's crust (or in the surface of some other planet) through which molten lava "
        "and gases erupt")
SECONDS = 3

if __name__ == "__main__":
    checks = Checks()
    with checks.about("the example"):
        said = succeed(COMMAND, "volcano").decode()
        checks.that(said.strip() == WANT, f"answered {said!r}")
        start = time.monotonic()
        again = succeed(COMMAND, "volcano").decode()
        seconds = time.monotonic() - start
        checks.that(again == said, f"answered {again!r} the second time")
        checks.that(seconds <= SECONDS, f"the second run took {seconds:.1f} s")
    checks.finish()
