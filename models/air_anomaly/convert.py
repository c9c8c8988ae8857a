"""Quantization to 8 bits for both runtimes; inputs and outputs stay float32. Needs torch and the converters.

The head's few numbers stay float: a probability in 256 steps ties where thresholds lie.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.air_anomaly.dataset import Floats32
from models.air_anomaly.network import AirAnomaly

# The output is an envelope of extremes: some hundred windows of all kinds reach it.
CALIBRATION_WINDOWS = 400
ONNX_OPSET = 17
FLOAT_OPERATIONS = ("INPUT", "OUTPUT", "FULLY_CONNECTED", "LOGISTIC")


def to_litert(network: AirAnomaly, calibration: Floats32) -> bytes:
    """A static int8 .tflite: activations and weights s8, weights per channel.

    ai-edge-quantizer's own calibration is a moving average over windows, which clips what is rare (here: the
    episodes); so each window is calibrated alone and the envelope of all minima and maxima is taken.
    """
    with tempfile.TemporaryDirectory() as folder, _quiet():
        import litert_torch
        from ai_edge_quantizer import quantizer, recipe

        path = Path(folder) / "float.tflite"
        litert_torch.convert(network, (torch.from_numpy(calibration[:1]),)).export(str(path))
        work = quantizer.Quantizer(str(path), recipe.static_wi8_ai8())
        for operation in FLOAT_OPERATIONS:
            work.update_quantization_recipe(".*", operation, algorithm_key="no_quantize")
        envelope: dict[str, Any] = {}
        for window in calibration:
            seen = work.calibrate({"serving_default": [{"args_0": window[None]}]}, num_threads=1)
            for tensor, extremes in seen.items():
                _widen(envelope.setdefault(tensor, dict(extremes)), extremes)
        return bytes(work.quantize(envelope, enable_progress_report=False).quantized_model)


def _widen(envelope: dict[str, Any], extremes: dict[str, Any]) -> None:
    if extremes:
        envelope["min"] = np.minimum(envelope["min"], extremes["min"])
        envelope["max"] = np.maximum(envelope["max"], extremes["max"])


def to_onnx(network: AirAnomaly, calibration: Floats32) -> bytes:
    """A static int8 .onnx (QDQ): activations u8, weights s8 per channel, ranges by minimum and maximum."""
    from onnxruntime import quantization

    with tempfile.TemporaryDirectory() as folder, _quiet():
        plain, small = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        torch.onnx.export(
            network,
            (torch.from_numpy(calibration[:1]),),
            str(plain),
            input_names=["window"],
            output_names=["probabilities"],
            opset_version=ONNX_OPSET,
            dynamo=False,
        )
        quantization.quantize_static(
            str(plain),
            str(small),
            _reader(calibration),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            calibrate_method=quantization.CalibrationMethod.MinMax,
            op_types_to_quantize=["Conv", "Add", "Relu", "Concat", "Transpose"],
        )
        return small.read_bytes()


def _reader(calibration: Floats32) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc] # the package has no types
        def __init__(self) -> None:
            self._windows: Iterator[Floats32] = iter(calibration)

        def get_next(self) -> dict[str, Floats32] | None:
            window = next(self._windows, None)
            return None if window is None else {"window": window[None]}

    return Reader()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Converters print pages; an error still raises."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
