# How lit runs the .mlir and .test files of this folder: tools from the build first, then LLVM's own.

import os
import platform
import sys

import lit.formats

config.name = "moec"
config.suffixes = [".mlir", ".test"]
config.excludes = ["golden", "end_to_end", "bench", "fuzz", "Inputs"]
config.test_format = lit.formats.ShTest(execute_external=False)
config.test_source_root = os.path.dirname(__file__)
config.environment["PATH"] = os.pathsep.join(config.tools + [os.environ["PATH"]])
config.available_features.add(platform.machine())  # REQUIRES: x86_64
config.substitutions.append(("%golden", os.path.join(config.test_source_root, "golden")))
config.substitutions.append(("%python", sys.executable))
