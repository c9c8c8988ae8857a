"""The Runner port on ONNX Runtime: the one on Jetson. Imported with the first model, as LiteRT is."""

from __future__ import annotations

from array import array
from typing import Any

from edge_agent.errors import ModelRefused, RuntimeMissing
from edge_agent.io.native import BROKEN, REINSTALL, first_line, one_thread
from edge_agent.ports import ModelShape

NOT_INSTALLED = "Install it (pip install onnxruntime), or set [model] runtime to litert or rule."
ERRORS_ONLY = 3  # of its own log: what matters is raised


class OnnxRunner:
    name = "onnx"

    def __init__(self) -> None:
        self._session: Any = None
        self._version = "ONNX Runtime"

    def load(self, model: bytes, shape: ModelShape) -> None:
        one_thread()
        try:
            import numpy
            import onnxruntime as runtime
        except ImportError as error:
            raise RuntimeMissing(f"ONNX Runtime cannot be imported: {error}", NOT_INSTALLED) from error
        except BROKEN as error:
            raise ModelRefused(f"ONNX Runtime cannot be used here: {first_line(error)}", REINSTALL) from error
        self._version = f"ONNX Runtime {runtime.__version__}, numpy {numpy.__version__}"
        try:
            session: Any = runtime.InferenceSession(model, _options(runtime), ["CPUExecutionProvider"])
            (given,), (told,) = session.get_inputs(), session.get_outputs()
        except Exception as error:  # the runtime's top: its errors share no base but Exception
            raise ModelRefused(f"ONNX Runtime does not take the model: {first_line(error)}") from error
        wanted = ([1, shape.steps, shape.channels], [1, shape.outputs])
        if ([*given.shape], [*told.shape]) != wanted:
            raise ModelRefused(f"the model is {given.shape} to {told.shape}, not {wanted[0]} to {wanted[1]}")
        if (given.type, told.type) != ("tensor(float)", "tensor(float)"):
            raise ModelRefused("the model does not take and give float32")
        self._numpy, self._shape = numpy, (1, shape.steps, shape.channels)
        self._given, self._told = given.name, told.name
        self._session = session

    def score(self, window: array[float]) -> tuple[float, ...]:
        numpy = self._numpy
        try:
            values = numpy.frombuffer(window, dtype=numpy.float32).reshape(self._shape)
            (told,) = self._session.run([self._told], {self._given: values})
        except Exception as error:  # the runtime's top: as above
            raise ModelRefused(f"ONNX Runtime failed: {first_line(error)}") from error
        return tuple(told[0].tolist())

    def version(self) -> str:
        return self._version

    def close(self) -> None:
        self._session = None


def _options(runtime: Any) -> Any:
    """One thread, no arena: it would keep megabytes for a model of kilobytes."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.log_severity_level = ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
