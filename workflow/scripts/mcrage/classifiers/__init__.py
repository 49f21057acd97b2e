# SPDX-License-Identifier: MIT
"""What learns to predict the target."""
