# SPDX-License-Identifier: MIT
"""Download one raw file of a dataset, from the mirror first, and check its SHA-256.

Output: file, named as in the dataset card. Local: ``sources``, the card's entry of the file, and
``mirror``.
"""

from pathlib import Path

from mcrage.datasets.card_model import DownloadSettings
from mcrage.datasets.download import fetch
from mcrage.stage import run_stage


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    card = DownloadSettings.model_validate(params["local"]["sources"])
    fetch(
        card.files[0],
        Path(output.file),
        dataset=card.name,
        mirror=params["local"]["mirror"],
        layout=card.format,
    )


if __name__ == "__main__":
    run_stage(snakemake, main)
