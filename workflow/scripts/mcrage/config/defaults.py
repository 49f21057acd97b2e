# SPDX-License-Identifier: MIT
"""The named scenarios, generators, treatments and classifiers that come with mcrage."""

SCENARIOS = {
    "natural": {"balance": False},
    "keep_25_percent_of_sex_2": {"keep": [{"where": {"sex": "2"}, "fraction": 0.25}]},
    "keep_10_percent_of_women": {"keep": [{"where": {"SEX": "F"}, "fraction": 0.1}]},
    "few_women": {
        "balance": False,
        "keep": [
            {"where": {"SEX": "F"}, "fraction": 0.1, "datasets": ["patient-treatment"]},
            {
                "where": {"sex": "Female"},
                "fraction": 0.1,
                "datasets": ["adult", "compas", "compas-two-races"],
            },
            {
                "where": {"gender": "Female"},
                "fraction": 0.1,
                "datasets": ["diabetes-130", "eicu-demo"],
            },
        ],
    },
    "official_split": {"balance": False, "split": "official"},
}

GENERATORS = {
    "smote": {"kind": "smote"},
    "mixture": {"kind": "mixture"},
    "copula": {"kind": "copula"},
    "cart": {"kind": "cart"},
    "cddpm_tuned": {"kind": "cddpm", "preset": "tuned"},
    "cddpm_tuned_large": {"kind": "cddpm", "preset": "tuned_large"},
    "cddpm_paper": {"kind": "cddpm", "preset": "paper"},
    "cddpm_after_smote": {"kind": "cddpm", "preset": "tuned", "trained_on": "smote"},
}

TREATMENTS = {
    "original": {
        "train_on": "original",
        "description": "Control: the real training rows before any were removed. What perfect "
        "rebalancing could reach.",
    },
    "imbalanced": {
        "description": "Control: the imbalanced training rows as they are, nothing done.",
    },
    "target_weights": {
        "weights": "target",
        "description": "Rows weighted so that both outcomes weigh the same. No new rows.",
    },
    "group_weights": {
        "weights": "group",
        "description": "Rows weighted so that every group weighs the same: what MCRAGE aims at, "
        "without synthesis.",
    },
    "reweighing": {
        "weights": "reweighing",
        "description": "Rows weighted so that the outcome is equally frequent in every subgroup "
        "(Kamiran and Calders). No new rows.",
    },
    "group_undersampling": {
        "undersample": "group",
        "description": "Rows left out until every group is as small as the smallest.",
    },
    "target_oversampling": {
        "oversample": "target",
        "description": "Real rows of the rarer outcome repeated until both are equally frequent.",
    },
    "group_oversampling": {
        "oversample": "group",
        "description": "Real rows of every smaller group repeated until all are equally large.",
    },
    "smote": {
        "generator": "smote",
        "description": "Every group filled with points between neighbouring real rows (SMOTE).",
    },
    "mixture": {
        "generator": "mixture",
        "description": "Every group filled by a mixture model whose components all groups share.",
    },
    "copula": {
        "generator": "copula",
        "description": "Every group filled by a Gaussian copula with one correlation for all "
        "groups and margins of main effects.",
    },
    "cart": {
        "generator": "cart",
        "description": "Every group filled column after column with values from the leaves of "
        "decision trees (CART, as in synthpop).",
    },
    "mcrage_paper": {
        "generator": "cddpm_paper",
        "description": "Every group filled by the diffusion model as the paper describes it.",
    },
    "mcrage_tuned": {
        "generator": "cddpm_tuned",
        "fill_by": "subgroup",
        "size": 5.0,
        "labels": "ensemble",
        "description": "Every subgroup filled by the diffusion model with the settings that work "
        "best for us; each row has both outcomes, weighted as an ensemble fitted on the real rows "
        "finds them likely.",
    },
    "mcrage_tuned_large": {
        "generator": "cddpm_tuned_large",
        "fill_by": "subgroup",
        "size": 2.5,
        "labels": "ensemble",
        "description": "The same with the diffusion model for ten thousand rows and more, and "
        "half as many rows.",
    },
    "mcrage_own_labels": {
        "generator": "cddpm_tuned",
        "description": "Every group filled by the same diffusion model, as the paper fills them.",
    },
    "mcrage_smote": {
        "generator": "cddpm_after_smote",
        "description": "Every group filled by the diffusion model after it learnt from the "
        "SMOTE-filled table (the paper's future work).",
    },
}

# One function of what is usual in the subgroup for all subgroups, and of each only a line's two
# numbers, which take up how frequent the outcome is in it.
_SHARED = {
    "attributes": False,
    "transform": "yeo_johnson",
    "recalibration": "platt",
    "recalibrate_by": "subgroup",
}
CLASSIFIERS = {
    "random_forest": {"kind": "random_forest"},
    "gradient_boosting": {"kind": "gradient_boosting"},
    "logistic_regression": {"kind": "logistic_regression"},
    "decision_tree": {"kind": "decision_tree"},
    "naive_bayes": {"kind": "naive_bayes"},
    "nearest_neighbours": {"kind": "nearest_neighbours"},
    "random_forest_both": {"kind": "random_forest", "features": "both"},
    "gradient_boosting_bagged": {
        "kind": "gradient_boosting",
        "features": "both",
        "max_depth": 6,
        "l2": 5.0,
        "max_features": 0.3,
        "n_models": 5,
    },
    "kernel_logistic_within": {"kind": "kernel_logistic", "features": "within_subgroup"},
    "kernel_logistic_shared": {
        "kind": "kernel_logistic",
        "features": "both",
        "gamma": 0.025,
        **_SHARED,
    },
    "perceptrons_shared": {
        "kind": "perceptrons",
        "features": "within_subgroup",
        **_SHARED,
    },
    "ensemble": {
        "kind": "ensemble",
        "members": [
            "random_forest_both",
            "gradient_boosting_bagged",
            "kernel_logistic_within",
            "kernel_logistic_shared",
            "perceptrons_shared",
        ],
        "shares": "held_out",
    },
}

SELECTED_TREATMENTS = [
    "original",
    "imbalanced",
    "target_weights",
    "group_weights",
    "target_oversampling",
    "group_oversampling",
    "smote",
    "mcrage_tuned",
]

FIGURE_TREATMENTS = ["imbalanced", "smote", "mcrage_tuned"]

DENSITY_TREATMENTS = ["smote", "mcrage_tuned"]
