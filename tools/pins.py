"""Writes `constraints.txt`: the exact version of everything that the development environment holds.

`pip install -c constraints.txt` then installs the same set everywhere. The training extra is not pinned here:
its wheels differ between machines with and without a GPU.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = """\
# The versions that the tests ran with. Written by `make pins`; give it to pip with -c.
"""


def main() -> int:
    """Write the file and say how many packages it pins."""
    freeze = subprocess.run(
        [sys.executable, "-m", "pip", "freeze", "--exclude-editable"],
        check=True,
        capture_output=True,
        text=True,
    )
    pins = sorted(
        (line for line in freeze.stdout.splitlines() if "==" in line and not line.startswith("#")),
        key=str.lower,
    )
    (ROOT / "constraints.txt").write_text(HEADER + "\n".join(pins) + "\n", encoding="utf-8")
    print(f"constraints.txt: {len(pins)} packages")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
