# SPDX-License-Identifier: MIT
"""Settings of the classifiers: closed models, importable without scikit-learn."""

from typing import Annotated, Any, Literal, Self, Union

from pydantic import Discriminator, Field, ValidationError, model_validator

from mcrage.config.base import Closed, Name, closest


class _OfFeatures(Closed):
    features: Literal["raw", "within_subgroup", "both"] = Field(
        "raw",
        description="raw (paper): features as they are. within_subgroup: less the mean of the "
        "row's subgroup and divided by its deviation, both of the training rows, so that subgroups "
        "share what is learnt about either. both: one beside the other. Numbers and dates only.",
    )
    attributes: bool = Field(
        True,
        description="Whether the sensitive attributes are seen (paper: they are). false also "
        "leaves out a feature whose bands are one.",
    )

    grid: dict[str, list[Any]] = Field(
        {},
        description="Other values of this classifier's settings to choose among, e.g. "
        "{min_samples_leaf: [5, 20]}: those with the smallest log loss of real training rows held "
        "out in turn, for every treatment by itself. Empty (paper): the settings above. Cost: "
        "grid_folds times the points of the grid.",
    )
    grid_folds: int = Field(5, ge=2, le=20, description="Of the grid; clusters are kept whole.")

    @model_validator(mode="after")
    def _grid_is_of_settings(self) -> Self:
        fields = type(self).model_fields.keys() - {"kind", "grid", "grid_folds"}
        for name, values in self.grid.items():
            if name not in fields:
                hint = closest(name, sorted(fields))
                raise ValueError(
                    f"grid.{name}: not a setting of {self.kind}{hint}; allowed: "
                    f"{', '.join(sorted(fields))}"
                )
            if not values:
                raise ValueError(f"grid.{name}: is empty; list the values to choose among")
            for value in values:
                try:
                    type(self)(**{**self.model_dump(exclude={"grid"}), name: value})
                except ValidationError as error:
                    told = error.errors()[0]["msg"]
                    raise ValueError(f"grid.{name}: found {value!r}; {told}; correct it") from None
        return self

    def resolved(self, classifiers: dict[Name, "ClassifierSettings"]) -> dict[str, Any]:
        """Return all values, plain JSON; without a grid where there is none."""
        without = set() if self.grid else {"grid", "grid_folds"}
        return self.model_dump(exclude=without)


class RandomForest(_OfFeatures):
    """scikit-learn's RandomForestClassifier."""

    kind: Literal["random_forest"]
    n_trees: int = Field(300, ge=1, le=100_000, description="Paper: 300. Cost: linear.")
    max_depth: int | None = Field(20, ge=1, description="Paper: 20. null: unlimited.")
    min_samples_split: int = Field(20, ge=2, description="Paper: 20.")
    min_samples_leaf: int = Field(5, ge=1, description="Paper: 5.")


class GradientBoosting(_OfFeatures):
    """scikit-learn's HistGradientBoostingClassifier, without early stopping."""

    kind: Literal["gradient_boosting"]
    n_trees: int = Field(150, ge=1, le=100_000, description="Cost: linear.")
    learning_rate: float = Field(0.03, gt=0, le=1, description="Of each tree.")
    max_depth: int | None = Field(4, ge=1, description="null: unlimited.")
    min_samples_leaf: int = Field(20, ge=1, description="Rows of a leaf, at least.")
    l2: float = Field(1.0, ge=0, description="Penalty of leaf values.")


class KernelLogistic(_OfFeatures):
    """Logistic regression on a Gaussian kernel, approximated by Nystroem's method."""

    kind: Literal["kernel_logistic"]
    n_components: int = Field(
        400, ge=1, description="Training rows the kernel is approximated by. Cost: its square."
    )
    gamma: float = Field(
        0.05, gt=0, description="Of exp(-gamma d²), d the distance of standardised rows."
    )
    c: float = Field(3.0, gt=0, description="Inverse of the penalty; smaller is smoother.")


class Perceptrons(_OfFeatures):
    """The mean of several small perceptrons, each of a part of the rows."""

    kind: Literal["perceptrons"]
    n_models: int = Field(10, ge=1, description="Cost: linear.")
    width: int = Field(32, ge=1, description="Units of the only hidden layer.")
    l2: float = Field(1.0, ge=0, description="Penalty of weights.")
    learning_rate: float = Field(0.01, gt=0, description="Of Adam.")
    epochs: int = Field(40, ge=1, description="Passes of the rows. Cost: linear.")


class LogisticRegression(_OfFeatures):
    """scikit-learn's LogisticRegression of standardised features."""

    kind: Literal["logistic_regression"]
    c: float = Field(1.0, gt=0, description="Inverse of the L2 penalty; smaller is smoother.")


class DecisionTree(_OfFeatures):
    """scikit-learn's DecisionTreeClassifier."""

    kind: Literal["decision_tree"]
    max_depth: int | None = Field(8, ge=1, description="null: unlimited.")
    min_samples_leaf: int = Field(10, ge=1, description="Rows of a leaf, at least.")


class NaiveBayes(_OfFeatures):
    """scikit-learn's GaussianNB; indicators of levels count as numbers."""

    kind: Literal["naive_bayes"]
    smoothing: float = Field(
        1e-9, ge=0, description="Share of the largest variance that is added to every variance."
    )


class NearestNeighbours(_OfFeatures):
    """scikit-learn's KNeighborsClassifier of standardised features.

    It takes no weights: where a treatment has some, it gets as many rows drawn with replacement,
    each as likely as it weighs.
    """

    kind: Literal["nearest_neighbours"]
    n_neighbours: int = Field(25, ge=1, description="Neighbours that vote.")
    nearer_count_more: bool = Field(
        False, description="true: votes weigh by the inverse of the distance."
    )


class Ensemble(Closed):
    """The mean probability of other classifiers."""

    kind: Literal["ensemble"]
    members: list[Name] = Field(
        min_length=2, description="Names from `classifiers`, none of them an ensemble."
    )

    def resolved(self, classifiers: dict[Name, "ClassifierSettings"]) -> dict[str, Any]:
        """Return all values with those of each member in place of its name, plain JSON."""
        return {
            "kind": self.kind,
            "members": [classifiers[name].resolved(classifiers) for name in self.members],
        }


_MODELS = (
    *(RandomForest, GradientBoosting, KernelLogistic, Perceptrons, LogisticRegression),
    *(DecisionTree, NaiveBayes, NearestNeighbours, Ensemble),
)

KINDS: dict[str, type[Closed]] = {
    model.model_fields["kind"].annotation.__args__[0]: model for model in _MODELS
}
"""Models by the value of their ``kind``."""

ClassifierSettings = Annotated[Union[_MODELS], Discriminator("kind")]  # noqa: UP007
