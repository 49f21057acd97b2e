# SPDX-License-Identifier: MIT
"""Compare mcrage with its peers on the same rows of the same machine: time, memory and quality.

    .venv/bin/python benchmarks/peers.py                  # the table that scikit-learn carries
    .venv/bin/python benchmarks/peers.py --mirror DIR     # patient-treatment, from downloaded data
    .venv/bin/python benchmarks/peers.py --mirror DIR --replicates 10 --only smote ctgan

Peers are synthcity's `ddpm` (TabDDPM) and SDV's TVAE and CTGAN, each in an environment of its own
that uv makes at the first run (about 7 GB; kept in --environments). SDV is under the Business
Source License: it is run here for comparison and is no dependency of mcrage. A folder of wheels in
UV_FIND_LINKS, such as torch for the CPU, spares most of the download.

The workflow itself makes the rows of each replicate. A generator then learns from train.parquet
with the group as its condition, on one thread of the CPU, and draws what each group lacks. All
are judged alike: against test rows that none has seen (`peers/judging.py` says how), and by the
forest on the table filled with their rows, compared with the imbalanced table, paired over
replicates. Seconds are of CPU time, which other programs on the machine disturb least.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("benchmarks", "tests", "workflow/scripts")]

from peers.comparing import CONTESTANTS, Comparison  # noqa: E402
from peers.environments import PeerError, default_folder, interpreter  # noqa: E402
from peers.replicates import make_replicates  # noqa: E402
from peers.tables import as_json, as_markdown  # noqa: E402

from mcrage.errors import UserError  # noqa: E402
from mcrage.tables import atomic_output  # noqa: E402


def arguments() -> argparse.Namespace:
    """Return what the user asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--mirror", help="folder with downloaded data: compare on patient-treatment"
    )
    parser.add_argument("--replicates", type=int, default=5, help="2 or more; 20 for a claim")
    parser.add_argument("--only", nargs="+", choices=list(CONTESTANTS), metavar="NAME")
    parser.add_argument("--environments", type=Path, default=default_folder())
    parser.add_argument("--timeout", type=float, default=1800, help="seconds a run may take")
    parser.add_argument(
        "--output",
        type=Path,
        help="folder for peers.md and peers.json, written anew after each run",
    )
    chosen = parser.parse_args()
    if chosen.replicates < 2:
        parser.error(f"--replicates {chosen.replicates}: intervals need 2 or more")
    return chosen


def main() -> None:
    """Run all, and print the tables."""
    chosen = arguments()
    pythons, left_out = {}, {}
    for name in chosen.only or CONTESTANTS:
        try:
            pythons[name] = interpreter(CONTESTANTS[name].environment, chosen.environments)
        except PeerError as error:
            left_out[name] = f"no environment: {error}"
            tell(f"{name}: left out, no environment: {error}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        replicates = make_replicates(folder / "project", chosen.mirror, chosen.replicates)
        comparison = Comparison(replicates[0], left_out)
        for number, replicate in enumerate(replicates):
            comparison.add_controls(replicate)
            for name, python in pythons.items():
                place = folder / "runs" / str(number) / name
                try:
                    seconds = comparison.run(replicate, name, python, place, chosen.timeout)
                    tell(f"replicate {number}, {name}: {seconds:.0f} s of CPU time")
                except PeerError as error:
                    comparison.failed(replicate, name, str(error))
                    tell(f"replicate {number}, {name}: {error}")
                if chosen.output:
                    save(comparison, chosen.output)
    print(as_markdown(comparison))


def save(comparison: Comparison, folder: Path) -> None:
    """Write what is known so far: a long comparison that is stopped leaves its finished runs."""
    values = json.dumps(as_json(comparison), indent=2, sort_keys=True, allow_nan=False)
    for name, text in (("peers.md", as_markdown(comparison)), ("peers.json", f"{values}\n")):
        with atomic_output(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def tell(message: str) -> None:
    """Say where the run is, beside the tables on standard output."""
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except (UserError, PeerError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("stopped")
