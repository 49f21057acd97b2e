# SPDX-License-Identifier: MIT
"""MCRAGE as a sampler of imbalanced-learn, for use without Snakemake: docs/library.md."""

import numbers
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, get_args

import numpy as np
import pandas as pd
from imblearn.over_sampling.base import BaseOverSampler
from imblearn.utils import check_sampling_strategy, check_target_type
from imblearn.utils._validation import ArraysTransformer
from pydantic import ValidationError
from scipy import sparse
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_consistent_length, validate_data

from mcrage.accelerator import given_device
from mcrage.bands import within_bands
from mcrage.config.base import closest, explain
from mcrage.config.defaults import GENERATORS
from mcrage.config.generators import KINDS as SETTINGS
from mcrage.config.rare_groups import RareGroups
from mcrage.errors import UserError
from mcrage.frames import Frame
from mcrage.generators.base import TrainingData
from mcrage.generators.registry import KINDS, generator_class, is_gated, is_judged
from mcrage.groups import GroupSchema, plan_rows
from mcrage.rare_groups import settle
from mcrage.seeds import derive

DEFAULT = {"kind": "cddpm", "preset": "tuned", "seeds": 2}
"""What `MCRAGE` draws rows with, if nothing is said: two networks, eight in the workflow."""


class MCRAGE(BaseOverSampler):
    """Fill groups of sensitive attributes and classes with rows of a generative model.

    The rows given come first and as they are, synthetic rows behind them. Data frames keep their
    columns, dtypes and categories; numbers are rounded as they were recorded; missing values stay
    missing as often as they are, in synthetic rows too.

    Parameters
    ----------
    sensitive : list of column names or numbers, default=None
        Sensitive attributes: columns of `X` by name in a data frame, else by place. A number with
        more than 12 different values is cut into three bands at round numbers near its thirds; a
        missing value is a level of its own. None: groups are the classes, as in imbalanced-learn.
    sampling_strategy : str, float, dict or callable, default="auto"
        How many rows to add. Without `sensitive` as in imbalanced-learn. With it the same of
        groups: ``"auto"`` and ``"not majority"`` make every group as large as the largest,
        ``"minority"`` only the smallest, ``"not minority"`` all others, ``"all"`` every one; a
        float in (0, 1] makes every group at least that share of the largest; a dict says how many
        rows groups are to have at the end, by ``(level, ..., class)`` in the order of `sensitive`;
        a callable is told the groups of all rows, a list of such tuples, and returns that dict.
        Groups that have no row get none, which a warning says.
    generator : str, dict or None, default=None
        What draws rows: a kind of generator (``"cddpm"``, ``"smote"``, ...), a name from the
        default config (``"cddpm_tuned"``), or settings as in the config's section `generators`,
        e.g. ``{"kind": "cddpm", "preset": "tuned", "steps": 500}``. None: the tuned diffusion
        model with two networks instead of eight, which takes seconds (`DEFAULT`).
    random_state : int, RandomState instance or None, default=None
        The same state draws the same rows, on the same machine.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where a model is trained; auto: on a GPU if there is one.

    Attributes
    ----------
    sampling_strategy_ : dict
        Rows that were added, by class, or by group.
    groups_ : dict
        Rows that were given, by ``(level, ..., class)``.
    generator_ : mcrage.generators.base.Generator or None
        The fitted model; None where nothing was lacking.
    n_features_in_, feature_names_in_
        As everywhere in scikit-learn.

    Notes
    -----
    A group with fewer than 25 rows borrows rows of like groups before the generator is fitted, as
    in the workflow: see `mcrage.rare_groups`.

    Fit it inside of cross-validation, in imbalanced-learn's Pipeline, so that test rows are never
    learnt from. Sparse matrices are taken, and made dense on the way.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from mcrage import MCRAGE
    >>> rng = np.random.default_rng(0)
    >>> sex = rng.choice(["F", "M"], 200, p=[0.2, 0.8])
    >>> X = pd.DataFrame({"age": rng.integers(20, 80, 200), "sex": pd.Categorical(sex)})
    >>> y = pd.Series(rng.choice(["alive", "died"], 200, p=[0.7, 0.3]), name="outcome")
    >>> fast = {"kind": "cddpm", "steps": 50, "seeds": 1}  # leave it out for better rows
    >>> sampler = MCRAGE(sensitive=["sex"], generator=fast, random_state=0)
    >>> X_more, y_more = sampler.fit_resample(X, y)
    >>> sampler.groups_
    {('F', 'alive'): 30, ('M', 'alive'): 113, ('F', 'died'): 7, ('M', 'died'): 50}
    >>> pd.crosstab(X_more["sex"], y_more).to_numpy().tolist()
    [[113, 113], [113, 113]]
    >>> bool((X_more.dtypes == X.dtypes).all())
    True
    """

    _parameter_constraints = {  # noqa: RUF012 - scikit-learn's protocol
        **BaseOverSampler._parameter_constraints,
        "sensitive": ["array-like", None],
        "generator": [str, dict, None],
        "device": [StrOptions({"auto", "cpu", "cuda"})],
    }

    def __init__(
        self,
        sensitive=None,
        *,
        sampling_strategy="auto",
        generator=None,
        random_state=None,
        device="auto",
    ):
        super().__init__(sampling_strategy=sampling_strategy)
        self.sensitive = sensitive
        self.generator = generator
        self.random_state = random_state
        self.device = device

    def fit(self, X, y, **params):
        """Check the input and count what is lacking; `fit_resample` does all."""
        self._validate_params()
        self._plan(*self._frame(X, y)[:2])
        return self

    def fit_resample(self, X, y, **params):
        """Return the rows given, with synthetic rows behind them.

        Parameters
        ----------
        X : data frame, array-like or sparse matrix of shape (n, n_features)
        y : array-like of shape (n,)
            Classes; also one column for each class with a 1 in one of them.

        Returns
        -------
        X_resampled : like X, shape (n + n_added, n_features)
        y_resampled : like y

        Raises
        ------
        ValueError
            For input that can't be resampled, with what to do about it.
        """
        self._validate_params()
        # By imbalanced-learn's own hand, so that lists, data frames and series come back as such.
        arrays = ArraysTransformer(X, y)
        frame, y, table, binarized = self._frame(X, y)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        try:
            plan = self._plan(frame, y)
            rows, groups = self._draw(frame, plan, seed)
        except UserError as error:
            raise ValueError(str(error)) from error
        schema = GroupSchema.of(frame.roles)
        made = frame.made(rows, schema.indices_of(groups))
        classes = np.unique(y)
        y_out = np.concatenate([y, classes[schema.target_of(groups)]])
        if binarized:
            y_out = (y_out[:, None] == classes).astype(int)
        return arrays.transform(_joined(X, table, made), y_out)

    def _fit_resample(self, X, y, **params):
        raise NotImplementedError("fit_resample does it")  # abstract in imbalanced-learn

    def _frame(self, X, y):
        """Return the rows in numbers, the classes, the rows as a data frame, and y's form."""
        known = pd.notna(np.asarray(y, dtype=object))
        if not known.all() and len(known):
            told = f"{(~known).sum()} of {known.size} values"
            raise ValueError(
                f"Input y contains NaN: the target lacks {told}; leave these rows out, of X, too"
            )
        check_classification_targets(y)
        y, binarized = check_target_type(y, indicate_one_vs_all=True)
        if not isinstance(X, pd.DataFrame):
            X = check_array(X, accept_sparse=["csr", "csc"], dtype=None, ensure_all_finite=False)
        validate_data(self, X=X, y=y, reset=True, skip_check_array=True)
        check_consistent_length(X, y)
        y = np.asarray(y)
        table = X
        if not isinstance(X, pd.DataFrame):
            dense = X.toarray() if sparse.issparse(X) else X
            table = pd.DataFrame(dense, dtype=dense.dtype)
        classes, target = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                f"the target 'y' needs more than one class, and has one, {classes.tolist()[0]!r}; "
                "nothing can be balanced"
            )
        try:
            frame = Frame.of(table, self._places(table), target, classes.tolist())
        except UserError as error:
            raise ValueError(str(error)) from error
        return frame, y, table, binarized

    def _places(self, table: pd.DataFrame) -> list[int]:
        """Return the places of the sensitive columns."""
        names = list(table.columns)
        places = []
        for name in [] if self.sensitive is None else list(self.sensitive):
            if name in names:
                places.append(names.index(name))
            elif isinstance(name, numbers.Integral) and 0 <= name < len(names):
                places.append(int(name))
            else:
                raise UserError(
                    f"sensitive: found {name!r}{closest(str(name), [str(own) for own in names])}, "
                    f"which is no column of X; there are: "
                    f"{', '.join(map(str, names))}"
                )
        if len(set(places)) < len(places):
            raise UserError("sensitive: names a column twice; name each once")
        return places

    def _plan(self, frame: Frame, y: np.ndarray) -> np.ndarray:
        """Return how many rows each group gets, int64 of shape (n_groups,)."""
        schema = GroupSchema.of(frame.roles)
        groups = schema.index_of(frame.digits)
        counts = schema.counts(groups)
        keys = [
            tuple(own[digit] for own, digit in zip(frame.keys, digits, strict=True))
            for digits in schema.indices_of(np.arange(schema.n_groups)).T
        ]
        self.groups_ = {key: int(n) for key, n in zip(keys, counts, strict=True)}
        if len(keys[0]) == 1:
            self.sampling_strategy_ = check_sampling_strategy(
                self.sampling_strategy, y, self._sampling_type
            )
            return np.array([self.sampling_strategy_.get(key[0], 0) for key in keys])
        if empty := [str(key) for key, n in self.groups_.items() if not n]:
            warnings.warn(
                f"groups without a row get none: {', '.join(empty)}", UserWarning, stacklevel=3
            )
        wanted = _wanted(self.sampling_strategy, groups, keys)
        self.sampling_strategy_ = OrderedDict((keys[k], int(n)) for k, n in sorted(wanted.items()))
        plan = np.zeros(schema.n_groups, dtype=np.int64)
        plan[list(wanted)] = list(wanted.values())
        return plan

    def _draw(self, frame: Frame, plan: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return drawn rows in numbers and their groups, in rising order."""
        schema = GroupSchema.of(frame.roles)
        groups = plan_rows(plan)
        self.generator_ = None
        if not len(groups) or not frame.features:
            return np.empty((len(groups), len(frame.features))), groups
        settings = generator_settings(self.generator)
        train = TrainingData(frame.rows, schema.index_of(frame.digits), schema, frame.roles)
        train, _ = settle(train, RareGroups().model_dump(), derive(seed, "train"))
        generator = generator_class(settings["kind"])(settings)
        with given_device(self.device) as device, _threads_as_before(settings["kind"]):
            generator.fit(train, seed=derive(seed, "train"), device=device)
            chunks = list(generator.draw(plan, seed=derive(seed, "sample"), device=device))
        rows = np.concatenate([features for features, _ in chunks])
        self.generator_ = generator
        return within_bands(rows, groups, schema, frame.roles), groups

    def __sklearn_tags__(self):
        """Say what `fit_resample` takes beside numbers."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        return tags


def generator_settings(generator: str | Mapping[str, Any] | None) -> dict[str, Any]:
    """Return all settings of a generator, plain values.

    Parameters
    ----------
    generator : str, mapping or None
        See `MCRAGE`. A kind with presets is taken as ours, not as the paper's, where none is named.

    Raises
    ------
    UserError
        For names, keys and values that there are none of, and for what needs more than a table.
    """
    if generator is None:
        generator = DEFAULT
    if isinstance(generator, str):
        known = [*KINDS, *(name for name in GENERATORS if name not in KINDS)]
        if generator not in known:
            raise UserError(
                f"generator: found {generator!r}{closest(generator, known)}; allowed: "
                f"{', '.join(known)}, or a dict of settings"
            )
        generator = GENERATORS.get(generator, {"kind": generator})
    kind = generator.get("kind")
    model = SETTINGS.get(kind)
    if model is None:
        raise UserError(
            f"generator: kind: found {kind!r}{closest(str(kind), list(SETTINGS))}; allowed: "
            f"{', '.join(SETTINGS)}"
        )
    preset = {}
    if "preset" in model.model_fields:
        presets = get_args(model.model_fields["preset"].annotation)
        preset["preset"] = next(name for name in presets if name != "paper")
    try:
        settings = model.model_validate({**preset, **generator}).resolved()
    except ValidationError as error:
        raise explain(error, "generator", lambda _: list(model.model_fields)) from None
    for key, needed in (
        ("trained_on", settings.get("trained_on") is not None and "a treatment's table"),
        ("selection", is_judged(settings) and "rows held out to choose a checkpoint by"),
        ("memorising", is_gated(settings) and "the workflow's gate"),
    ):
        if needed:
            raise UserError(
                f"generator: {key}: {settings[key]!r} needs {needed}, which only the workflow "
                "has; give another value, e.g. "
                f"{ {'trained_on': 'None', 'selection': 'last', 'memorising': 'keep'}[key] }"
            )
    return settings


def _wanted(strategy: Any, groups: np.ndarray, keys: Sequence[tuple]) -> dict[int, int]:
    """Return how many rows are to be added to groups, by group number."""
    numbered, counts = np.unique(groups, return_counts=True)
    present = dict(zip(numbered.tolist(), counts.tolist(), strict=True))
    if isinstance(strategy, numbers.Real):
        goal = int(strategy * counts.max() + 1e-9)
        return {group: goal - n for group, n in present.items() if n < goal}
    if isinstance(strategy, str):
        return dict(check_sampling_strategy(strategy, groups, "over-sampling"))
    asked = strategy([keys[group] for group in groups]) if callable(strategy) else strategy
    wanted = {}
    for key, rows in asked.items():
        if key not in keys or keys.index(key) not in present:
            told = ", ".join(str(keys[group]) for group in present)
            raise UserError(f"sampling_strategy: no row of {key!r}; the groups are {told}")
        group = keys.index(key)
        if rows < present[group]:
            raise UserError(
                f"sampling_strategy: {rows} rows of {key!r}, which has {present[group]} already; "
                "rows are only added"
            )
        wanted[group] = int(rows) - present[group]
    return wanted


def _joined(X, table: pd.DataFrame, made: pd.DataFrame):
    """Return the rows of `X` as they are and the made ones behind, in the form of `X`."""
    if isinstance(X, pd.DataFrame):
        return pd.concat([X, made], ignore_index=True)
    if sparse.issparse(X):
        return sparse.vstack([X, sparse.csr_matrix(made.to_numpy(X.dtype))], format=X.format)
    return np.concatenate([table.to_numpy(), made.to_numpy(dtype=table.to_numpy().dtype)])


@contextmanager
def _threads_as_before(kind: str) -> Iterator[None]:
    """Leave torch's number of threads, which a fit sets to one, as the caller has it."""
    if "torch" not in KINDS[kind].train.libraries:
        yield
        return
    import torch

    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
