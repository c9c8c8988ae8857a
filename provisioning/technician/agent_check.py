"""What the agent itself says of a configuration, before anything is spent on it.

Its reader (`edge_agent.config`) has the one list of keys, kinds of sensor and what is allowed in each. It is
asked in a process of its own, as the lamppost's `install.sh` asks it: provisioning imports no agent.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from provisioning.errors import BadSetting

LIMIT_S = 60.0  # it takes a fraction of one; a laptop that is busy or slow may take longer
ASK = ("-m", "edge_agent.cli", "config", "--json", "--elsewhere", "--config")


def check(agent_toml: bytes) -> None:
    """Raises BadSetting with every mistake that the agent finds. `agent_toml` is on the disk meanwhile: give
    it without a claim's secret."""
    with tempfile.TemporaryDirectory(prefix="lamppost-") as folder:
        file = Path(folder) / "agent.toml"
        file.write_bytes(agent_toml)
        try:
            done = subprocess.run(
                [sys.executable, *ASK, str(file)], capture_output=True, check=False, timeout=LIMIT_S
            )
            told = json.loads(done.stdout)
        except (ValueError, subprocess.TimeoutExpired) as failed:
            raise BadSetting("the agent's own check of its configuration gave no answer") from failed
    if done.returncode != 0:
        problems = str(told["detail"]).replace(f"{file}: ", "").splitlines()
        raise BadSetting(f"the agent would not take it: {'; '.join(problems)}")
