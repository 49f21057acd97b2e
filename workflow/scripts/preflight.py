# SPDX-License-Identifier: MIT
"""Tell what a run would do and cost, and what would stop it. Writes nothing but its log.

Local: ``run``, the command and where its jobs go; ``device``, where generators train; ``folders``.
"""

import logging
import sys
from pathlib import Path

from mcrage.accelerator import require, visible_gpus
from mcrage.errors import UserError
from mcrage.preflight import (
    Experience,
    cluster_problems,
    dry_run,
    free_bytes,
    profiles_told,
    told,
    total_bytes,
)
from mcrage.stage import run_stage
from mcrage.working_folder import require_writable


def find_device(device: dict, cluster: bool) -> tuple[bool, str]:
    """Return whether generators train on a GPU, and that in words."""
    if device["device"] == "cpu":
        return False, "cpu, as the config says"
    if cluster:
        otherwise = "fails" if device["missing"] == "fail" else "goes on without"
        return True, f"each training asks for a GPU; one that gets none {otherwise} (gpu_missing)"
    if names := visible_gpus():
        return True, f"{len(names)} GPU, of the number {', '.join(names)}"
    return False, "cpu: the driver shows no GPU here"


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    local = params["local"]
    cluster = local["run"]["cluster"]
    folders = [Path(folder) for folder in local["folders"]]
    found = dry_run(local["run"]["arguments"])
    problems = [found.error] if found.error else []
    for check, argument in (
        *((require_writable, folder) for folder in folders),
        *([] if cluster else [(require, local["device"]["device"])]),
    ):
        try:
            check(argument)
        except UserError as error:
            problems.append(str(error))
    if cluster:
        problems += cluster_problems(local["run"]["partitions"], found.jobs)
    on_gpu, device = find_device(local["device"], cluster)
    experience = Experience(Path(local["benchmarks"]), folders[0], on_gpu=on_gpu)
    needed, free = total_bytes(found.jobs, experience), min(map(free_bytes, folders))
    if needed > free:
        problems.append(
            f"results take about {needed / 1e6:,.0f} MB, and the disk has {free / 1e6:,.0f} MB "
            "left; free some space, or run in another folder: snakemake --directory FOLDER"
        )
    lines = [
        told(found.jobs, experience) if found.jobs else "Nothing to be done.",
        "Costs are those of like jobs of earlier runs in this folder (results/benchmarks).",
        "",
        f"device   {device}",
        f"folders  {', '.join(map(str, folders))}: {free / 1e9:,.1f} GB free",
        f"profile  {profiles_told(found.profiles, cluster)}",
        "",
        "" if problems else "Nothing that can be seen from here would stop the run.",
    ]
    text = "\n".join(lines)
    sys.stdout.write(text + "\n")
    if problems:
        raise UserError("this would stop the run:\n" + "\n".join(problems))
    logging.info("%s", text)


if __name__ == "__main__":
    run_stage(snakemake, main)
