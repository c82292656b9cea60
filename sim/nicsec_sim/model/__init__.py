# SPDX-License-Identifier: Apache-2.0
"""Golden model of the send path, written from the RFCs; imports nothing of ``hdl``."""
