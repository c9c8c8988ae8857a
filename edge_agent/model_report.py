"""`lamppost agent model`, and the doctor's line on it: what decides here, tried as the agent tries it."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.app import make_model
from edge_agent.config_keys import AgentConfig
from edge_agent.core.health import KNOWN
from edge_agent.errors import ModelRefused
from wire_contract.verdict_kinds import RULE


@dataclass(frozen=True)
class ModelReport:
    """`decides`: as verdicts tell it. `golden`: the model gave the right answer for its golden vector; None
    where the configuration wants no model."""

    decides: str
    golden: bool | None
    runtime: str
    detail: str
    remedy: str = ""

    @property
    def ok(self) -> bool:
        return self.golden is not False


def report(config: AgentConfig) -> ModelReport:
    """Load the model, check it, forget it."""
    try:
        model = make_model(config)
    except ModelRefused as error:
        remedy = error.remedy or KNOWN[error.code].remedy
        return ModelReport(RULE, False, config.model.runtime, f"{error.code}: {error.detail}", remedy)
    if model is None:
        return ModelReport(RULE, None, "none", "the configuration wants the rule")
    version = model.runner.version()
    model.runner.close()
    thresholds = model.manifest.thresholds
    detail = f"an episode opens at {thresholds.open:g} and closes below {thresholds.close:g}"
    return ModelReport(model.title, True, version, detail)


def shown(told: ModelReport) -> str:
    """For a terminal."""
    golden = {True: "right", False: "not tried, or wrong", None: "there is none"}[told.golden]
    lines = [
        f"decides   {told.decides}",
        f"runtime   {told.runtime}",
        f"golden    {golden}",
        told.detail,
    ]
    return "\n".join([*lines, f"-> {told.remedy}"] if told.remedy else lines)
