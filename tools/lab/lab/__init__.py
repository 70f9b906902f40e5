# SPDX-License-Identifier: GPL-2.0
"""The lab: kernels, guests and tests, as seen from inside the userland."""
