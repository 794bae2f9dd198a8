"""Fixtures that the monitoring tests share."""

from __future__ import annotations

from browser import browser

__all__ = ["browser"]
