# SPDX-License-Identifier: Apache-2.0
"""Keeps the garbage collector out of pytest's reports.

CPython 3.11 raises SystemError when an abandoned coroutine of a failed simulation is finalised while a
syntax tree is built, which is what a failure report does.
"""

import gc

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
