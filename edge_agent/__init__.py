"""The lamppost's daemon: reads sensors, keeps every sample, delivers it when the server has committed it."""

from __future__ import annotations

__version__ = "0.1.0"
