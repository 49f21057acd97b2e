# SPDX-License-Identifier: MIT
"""The one exception that a user's mistake ends in."""


class UserError(Exception):
    """A mistake that the user can mend: shown as its message, never as a traceback.

    The message names the file, column or key, what was found, what is allowed and what to do.
    """
