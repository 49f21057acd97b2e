# SPDX-License-Identifier: MIT
"""What each rule's result depends on: a method a rule, called `_` and the rule's name."""
