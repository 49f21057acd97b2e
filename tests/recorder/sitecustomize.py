# SPDX-License-Identifier: MIT
"""On the path of a test's run: each script writes down, at its end, which modules it had loaded."""

import atexit
import json
import os
import re
import sys


def record() -> None:
    script = re.search(r"scripts/tmp\w+\.(\w+)\.py$", sys.argv[0] if sys.argv else "")
    if script is None:
        return
    told = {
        "rule": script[1],
        "settings": sys.modules["__main__"].snakemake.params.stage["settings"],
        "modules": sorted(name for name in sys.modules if name.partition(".")[0] == "mcrage"),
    }
    folder = os.environ["MCRAGE_RECORDS"]
    with open(os.path.join(folder, f"{script[1]}.{os.getpid()}.json"), "w") as file:
        json.dump(told, file)


if "MCRAGE_RECORDS" in os.environ:
    atexit.register(record)
