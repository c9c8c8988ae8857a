"""Who decides, and what a reason names: the air, the other kind of event where it is likelier than not."""

from __future__ import annotations

from array import array

import pytest

from edge_agent.core.judging import by_model
from edge_agent.io.model_folder import model_directory, read_manifest
from models.features.context import Background
from models.features.window import Window

MANIFEST = read_manifest(model_directory(""))
WINDOW = Window(0, array("f", [0.0]), 1.0, Background(12.0, 9.0, 15.0, 1.0), 12.0, 80.0)


@pytest.mark.parametrize(("likely", "named"), [(0.2, False), (0.49, False), (0.5, True), (0.9, True)])
def test_another_kind_of_event_is_named_where_it_is_likelier_than_not(likely: float, named: bool) -> None:
    others = [0.0] * (len(MANIFEST.outputs) - 2)
    told = by_model(WINDOW, [1.0, likely, *others], MANIFEST, "litert")
    assert (MANIFEST.outputs[1] in told.reason) is named
    assert "PM2.5 80 ug/m3" in told.reason
