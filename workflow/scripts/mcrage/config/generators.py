# SPDX-License-Identifier: MIT
"""Settings of the generators: closed models, importable without torch and scikit-learn."""

from typing import Annotated

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

# By `kind`.
KINDS: dict[str, type[Closed]] = {
    "cddpm": CddpmSettings,
    "smote": SmoteSettings,
    "mixture": MixtureSettings,
    "copula": CopulaSettings,
    "cart": CartSettings,
    "tabddpm": TabddpmSettings,
}
GeneratorSettings = Annotated[
    CddpmSettings
    | SmoteSettings
    | MixtureSettings
    | CopulaSettings
    | CartSettings
    | TabddpmSettings,
    Discriminator("kind"),
]
