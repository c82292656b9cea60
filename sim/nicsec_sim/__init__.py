# SPDX-License-Identifier: Apache-2.0
"""Software side of nicsec: golden model, host-stack and miniport models, simulator runners, command line."""
