# SPDX-License-Identifier: MIT
"""Settings of the classifiers: closed models, importable without scikit-learn."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, Union

from pydantic import Discriminator, Field, ValidationError, model_validator

from mcrage.config.base import Closed, Name, closest, unknown


class _Scored(Closed):
    recalibration: Literal["none", "platt", "isotonic"] = Field(
        "none",
        description="none (paper): scores as they are. platt: logistic regression of the outcome "
        "on the score's log odds. isotonic: a rising step function. Fitted on scores of real "
        "training rows, those that a treatment leaves out among them, by classifiers that did not "
        "see them. Cost: five more fits, which decisions of experiment.thresholds share.",
    )
    recalibrate_by: Literal["all", "subgroup"] = Field(
        "all",
        description="all: one map for everyone. subgroup: one for each, which needs the sensitive "
        "attributes of who is judged; a subgroup with fewer than 20 (isotonic: 100) of these rows "
        "of either outcome has everyone's.",
    )

    @model_validator(mode="after")
    def _recalibrated_at_all(self) -> Self:
        if self.recalibration == "none" and self.recalibrate_by != "all":
            raise ValueError(
                f"recalibrate_by is '{self.recalibrate_by}', but nothing is recalibrated; set "
                "recalibration to platt or isotonic, or remove recalibrate_by"
            )
        return self

    def resolved(self, classifiers: dict[Name, "ClassifierSettings"]) -> dict[str, Any]:
        """Return all values, plain JSON; without what is of a grid or map that there is not."""
        without = set() if getattr(self, "grid", None) else {"grid", "grid_folds"}
        if self.recalibration == "none":
            without |= {"recalibration", "recalibrate_by"}
        return self.model_dump(exclude=without)


class _OfFeatures(_Scored):
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
        fields -= _Scored.model_fields.keys()
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


class _OfStandardFeatures(_OfFeatures):
    transform: Literal["none", "yeo_johnson"] = Field(
        "none",
        description="Before features are standardised and cut at three deviations. none: as they "
        "are. yeo_johnson: each to a power that brings it nearest to a normal distribution, so "
        "that a long tail is not cut.",
    )


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
    max_features: float = Field(
        1.0, gt=0, le=1, description="Share of the columns that a split chooses among, drawn anew."
    )
    n_models: int = Field(
        1,
        ge=1,
        le=10_000,
        description="1: of all rows. More: the mean of so many, each of as many rows drawn with "
        "replacement. Cost: linear.",
    )


class KernelLogistic(_OfStandardFeatures):
    """Logistic regression on a Gaussian kernel, approximated by Nystroem's method."""

    kind: Literal["kernel_logistic"]
    n_components: int = Field(
        400,
        ge=1,
        description="Training rows the kernel is approximated by; all where there are fewer. "
        "Cost: its square.",
    )
    gamma: float = Field(
        0.05, gt=0, description="Of exp(-gamma d²), d the distance of standardised rows."
    )
    c: float = Field(3.0, gt=0, description="Inverse of the penalty; smaller is smoother.")


class Perceptrons(_OfStandardFeatures):
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


class GroupDro(_OfFeatures):
    """A small perceptron whose worst-off group errs least (Sagawa et al. 2020).

    Groups are subgroups by outcomes. A group's weight in the loss grows with its loss; weights of a
    treatment count within a group, never between groups. The number of steps is the one with the
    smallest loss of the worst-off group among held-out real training rows, in five folds.
    """

    kind: Literal["group_dro"]
    width: int = Field(
        32, ge=0, le=4096, description="Units of the only hidden layer; 0: none, a linear model."
    )
    learning_rate: float = Field(0.01, gt=0, description="Of Adam.")
    eta: float = Field(
        0.01,
        gt=0,
        description="Step size of the groups' weights (the paper's: 0.01).",
    )
    l2: float = Field(
        0.01,
        ge=0,
        description="Penalty of weights, half of it times their squares is added to the loss; the "
        "paper finds that only a strong one lets the worst group gain.",
    )
    steps: int = Field(500, ge=1, le=1_000_000, description="At most. Cost: linear.")
    batch_size: int = Field(
        2048,
        ge=1,
        description="Rows of a step, drawn evenly from groups; all, where there are no more.",
    )


class ExponentiatedGradient(_Scored):
    """A lottery over classifiers with a constraint between subgroups (fairlearn; two levels only).

    Its score is the chance that the lottery predicts a row positive. The constraint is of decisions
    drawn with that chance: rule randomised of experiment.thresholds. It takes no weights; see
    nearest_neighbours.
    """

    kind: Literal["exponentiated_gradient"]
    base: Name = Field(
        description="The classifier that is fitted again and again: a name from `classifiers`, of "
        "a kind that takes weights, with neither grid nor recalibration. It says which features "
        "and attributes are seen.",
    )
    constraint: Literal["demographic_parity", "equalized_odds", "true_positive_rate_parity"] = (
        Field(
            "equalized_odds",
            description="What is to be equal in all subgroups: rates of positive predictions, of "
            "these in either outcome, or in the positive outcome.",
        )
    )
    eps: float = Field(
        0.01, gt=0, lt=1, description="How far a subgroup's rate may lie from everyone's."
    )
    max_iterations: int = Field(
        50, ge=1, le=10_000, description="Cost: up to five fits of the base in each."
    )

    def resolved(self, classifiers: dict[Name, "ClassifierSettings"]) -> dict[str, Any]:
        """Return all values with those of the base in place of its name, plain JSON."""
        return super().resolved(classifiers) | {
            "base": classifiers[self.base].resolved(classifiers)
        }


class Ensemble(_Scored):
    """The mean probability of other classifiers, weighted by `shares`."""

    kind: Literal["ensemble"]
    members: list[Name] = Field(
        min_length=2, description="Names from `classifiers`, none of them an ensemble."
    )
    shares: Literal["equal", "held_out"] = Field(
        "equal",
        description="How much members count. held_out: as much as the training rows of folds they "
        "did not see are sure of (by two standard errors of the likelihood), and the same as long "
        "as these can't tell. Cost of held_out: five more fits of members that are not "
        "recalibrated, which have them anyway.",
    )

    def resolved(self, classifiers: dict[Name, "ClassifierSettings"]) -> dict[str, Any]:
        """Return all values with those of each member in place of its name, plain JSON."""
        return super().resolved(classifiers) | {
            "members": [classifiers[name].resolved(classifiers) for name in self.members]
        }


_MODELS = (
    *(RandomForest, GradientBoosting, KernelLogistic, Perceptrons, LogisticRegression),
    *(DecisionTree, NaiveBayes, NearestNeighbours, GroupDro, ExponentiatedGradient, Ensemble),
)

KINDS: dict[str, type[Closed]] = {
    model.model_fields["kind"].annotation.__args__[0]: model for model in _MODELS
}
"""Models by the value of their ``kind``."""

BASES = (
    *("random_forest", "gradient_boosting", "kernel_logistic", "perceptrons"),
    *("logistic_regression", "decision_tree", "naive_bayes"),
)
"""Kinds that take weights, and so can be the base of an ExponentiatedGradient."""

ClassifierSettings = Annotated[Union[_MODELS], Discriminator("kind")]  # noqa: UP007


def classifier_problems(classifiers: Mapping[str, Any]) -> list[str]:
    """Return a line for each classifier that rests on one that it can't rest on.

    Parameters
    ----------
    classifiers : mapping of str to ClassifierSettings
    """
    problems = []
    for name, classifier in classifiers.items():
        if isinstance(classifier, Ensemble):
            key = f"classifiers.{name}.members"
            problems += unknown(key, classifier.members, classifiers, "classifiers")
            problems += [
                f"{key}: '{member}' is itself an ensemble; name its members instead"
                for member in classifier.members
                if isinstance(classifiers.get(member), Ensemble)
            ]
        if isinstance(classifier, ExponentiatedGradient):
            problems += _base_problems(f"classifiers.{name}.base", classifier.base, classifiers)
    return problems


def _base_problems(key: str, base: str, classifiers: Mapping[str, Any]) -> list[str]:
    if base not in classifiers:
        return unknown(key, [base], classifiers, "classifiers")
    settings = classifiers[base]
    if settings.kind not in BASES:
        return [
            f"{key}: '{base}' is of kind {settings.kind}, which can't be fitted with weights; name "
            f"one of kind {', '.join(BASES)}"
        ]
    given = {"grid": bool(settings.grid), "recalibration": settings.recalibration != "none"}
    return [
        f"{key}: '{base}' has a {word}, which a base has no use for; name one without"
        for word, has in given.items()
        if has
    ]


def teacher_problems(key: str, name: str, classifiers: Mapping[str, Any]) -> list[str]:
    """Return why a classifier can't say how likely outcomes are, if it can't.

    Parameters
    ----------
    key : str
        Where it is named.
    name : str
    classifiers : mapping of str to ClassifierSettings
    """
    members = getattr(classifiers.get(name), "members", [])
    return [
        f"{key}: '{each}' is of kind {classifiers[each].kind}, whose scores are no probabilities "
        "of outcomes; name another"
        for each in (name, *members)
        if each in classifiers and isinstance(classifiers[each], GroupDro | ExponentiatedGradient)
    ]
