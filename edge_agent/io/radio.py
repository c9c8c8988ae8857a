"""By which way this lamppost is connected, as its kernel says."""

from __future__ import annotations

from pathlib import Path

from wire_contract import radio

NET = Path("/proc/net")


def signal(net: Path = NET) -> str:
    """As the birth tells it; "" where the kernel says nothing (no default route, no Linux)."""
    try:
        return radio.told(radio.way(_text(net / "route"), _text(net / "wireless")))
    except (ValueError, IndexError):  # another form than this kernel's
        return ""


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
