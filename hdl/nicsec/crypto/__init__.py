# SPDX-License-Identifier: Apache-2.0
"""Cryptographic cores; each knows its algorithm and nothing of packets."""
