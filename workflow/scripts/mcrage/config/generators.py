# SPDX-License-Identifier: MIT
"""Settings of the generators: closed models, importable without torch and scikit-learn."""

from typing import Annotated, Union

from pydantic import Discriminator

from mcrage.config.base import Closed
from mcrage.config.generators_baselines import (
    CartSettings,
    CopulaSettings,
    MixtureSettings,
    SmoteSettings,
)
from mcrage.config.generators_cddpm import CddpmSettings
from mcrage.config.generators_tabddpm import TabddpmSettings
from mcrage.plugins import plugins

# By `kind`, those of installed packages last.
KINDS: dict[str, type[Closed]] = {
    "cddpm": CddpmSettings,
    "smote": SmoteSettings,
    "mixture": MixtureSettings,
    "copula": CopulaSettings,
    "cart": CartSettings,
    "tabddpm": TabddpmSettings,
    **{kind: plugin.Settings for kind, plugin in plugins().items()},
}
GeneratorSettings = Annotated[Union[tuple(KINDS.values())], Discriminator("kind")]  # noqa: UP007
