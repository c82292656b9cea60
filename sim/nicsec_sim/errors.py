# SPDX-License-Identifier: Apache-2.0
"""Errors that a user sees as one message and an exit code, never as a traceback."""

__all__ = ["InputError", "NicsecError", "RunError"]


class NicsecError(Exception):
    """Base; ``exit_code`` is what the command line returns."""

    exit_code = 1


class RunError(NicsecError):
    """A build, a simulation or a check failed: exit code 1."""


class InputError(NicsecError):
    """A flag, a file or a line of it is wrong: exit code 2.

    The message names the flag or ``file:line``, the value, and what is allowed.
    """

    exit_code = 2
