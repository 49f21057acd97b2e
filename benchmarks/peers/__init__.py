# SPDX-License-Identifier: MIT
"""Parts of benchmarks/peers.py: environments, the runs in them, and how drawn rows are judged."""
