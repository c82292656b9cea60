# SPDX-License-Identifier: Apache-2.0
"""nicsec: an IPsec send-path offload engine for network cards."""

__version__ = "0.1.0"
