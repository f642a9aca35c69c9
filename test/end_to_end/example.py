"""The examples' own commands: what they print."""

from programs import TEST, Checks, succeed

EXAMPLES = TEST.parent / "examples"
WANT = ("(noun.object): a fissure in the earth's crust (or in the surface of some other planet) through which molten lava "
        "and gases erupt")


def check_dictionary(checks):
    said = succeed(EXAMPLES / "dictionary/run.sh", "volcano").decode()
    checks.that(said.strip() == WANT, f"dictionary: answered {said!r}")
    again = succeed(EXAMPLES / "dictionary/run.sh", "volcano").decode()
    checks.that(again == said, f"dictionary: answered {again!r} the second time")


def check_embedding(checks):
    for kind in ("shared", "static"):
        said = succeed(EXAMPLES / "embed_in_c/run.sh", "volcano", kind).decode()
        checks.that("molten lava" in said, f"embed_in_c {kind}: answered {said!r}")


def check_pass(checks):
    said = succeed("sh", "-c", f"{EXAMPLES}/new_pass/run.sh 2>&1").decode()
    checks.that("each token picks 8 of 128 experts" in said, f"new_pass: {said[-500:]}")


if __name__ == "__main__":
    checks = Checks()
    for part in (check_dictionary, check_embedding, check_pass):
        with checks.about(part.__name__):
            part(checks)
    checks.finish()
