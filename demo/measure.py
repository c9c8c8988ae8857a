"""What one process costs, read from the kernel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

KB_PER_MB = 1024.0


@dataclass(frozen=True)
class Memory:
    """Proportional and unique set size in MB (1 MB = 1024 kB), from /proc/PID/smaps_rollup."""

    pss_mb: float
    uss_mb: float


def memory_of(pid: int) -> Memory | None:
    """None where the kernel does not tell (the process is gone, or it is not Linux)."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    sizes = {
        key: float(rest.split()[0]) for key, _, rest in (line.partition(":") for line in lines[1:]) if rest
    }
    unique = sizes["Private_Clean"] + sizes["Private_Dirty"] + sizes.get("Private_Hugetlb", 0.0)
    return Memory(round(sizes["Pss"] / KB_PER_MB, 1), round(unique / KB_PER_MB, 1))
