# SPDX-License-Identifier: MIT
"""The columns that a card leaves out, put into its settings as they look, and told in the log."""

import logging

from mcrage.datasets.card_model import RESERVED_COLUMNS, PrepareSettings
from mcrage.datasets.infer import infer, told
from mcrage.datasets.reading import RawColumns
from mcrage.errors import UserError

logger = logging.getLogger(__name__)


def completed(settings: PrepareSettings, table: RawColumns) -> PrepareSettings:
    """Return the settings with every column of the table, those not listed as they look.

    Parameters
    ----------
    settings : PrepareSettings
    table : RawColumns
        As the files have it.

    Raises
    ------
    UserError
        If a column has a name that the workflow needs, or for what `infer` refuses.
    """
    taken = [name for name in RESERVED_COLUMNS if name in table.column_names]
    if taken:
        raise UserError(
            f"dataset {settings.name}: column {', '.join(taken)} has a name that the workflow "
            "keeps for itself; rename it in the file"
        )
    found = infer(
        table,
        target=settings.target.column,
        sensitive=dict(settings.sensitive),
        cluster=settings.cluster,
        known=dict(settings.columns),
        threshold=settings.target.threshold is not None,
        decimal=settings.format.decimal,
    )
    logger.info("dataset %s, columns:\n%s", settings.name, told(found))
    for name, guess in found.guesses.items():
        if guess.warning:
            logger.warning("column %s: %s", name, guess.warning)
    needed = [*settings.drop_rows_without, *found.drop_rows_without]
    return settings.model_copy(
        update={
            "columns": list(found.columns.items()),
            "sensitive": list(found.sensitive.items()),
            "drop_rows_without": list(dict.fromkeys(needed)),
        }
    )
