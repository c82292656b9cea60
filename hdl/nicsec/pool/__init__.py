# SPDX-License-Identifier: Apache-2.0
"""Packets in one ring of lines, worked on by units that all of them share (docs/design.md section 9.2)."""
