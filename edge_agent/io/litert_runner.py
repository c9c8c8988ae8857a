"""The Runner port on LiteRT: numpy and the runtime are imported with the first model, and cost 17 MB then."""

from __future__ import annotations

from array import array
from typing import Any

from edge_agent.errors import ModelRefused, RuntimeMissing
from edge_agent.io.native import BROKEN, REINSTALL, first_line, one_thread
from edge_agent.ports import ModelShape

NOT_INSTALLED = "Install it (pip install ai-edge-litert), or set [model] runtime to onnx or rule."


class LitertRunner:
    name = "litert"

    def __init__(self) -> None:
        self._interpreter: Any = None
        self._version = "LiteRT"

    def load(self, model: bytes, shape: ModelShape) -> None:
        one_thread()
        try:
            import numpy
            from ai_edge_litert import interpreter as runtime
        except ImportError as error:
            raise RuntimeMissing(f"LiteRT cannot be imported: {error}", NOT_INSTALLED) from error
        except BROKEN as error:
            raise ModelRefused(f"LiteRT cannot be used here: {first_line(error)}", REINSTALL) from error
        self._version = (
            f"LiteRT {getattr(runtime, '__version__', '') or _installed()}, numpy {numpy.__version__}"
        )
        try:
            interpreter: Any = runtime.Interpreter(model_content=model, num_threads=1)
            interpreter.allocate_tensors()
            (given,), (told,) = interpreter.get_input_details(), interpreter.get_output_details()
        except (ValueError, RuntimeError, TypeError) as error:
            raise ModelRefused(f"LiteRT does not take the model: {first_line(error)}") from error
        wanted = ([1, shape.steps, shape.channels], [1, shape.outputs])
        if ([*map(int, given["shape"])], [*map(int, told["shape"])]) != wanted:
            raise ModelRefused(
                f"the model is {given['shape']} to {told['shape']}, not {wanted[0]} to {wanted[1]}"
            )
        if (given["dtype"], told["dtype"]) != (numpy.float32, numpy.float32):
            raise ModelRefused("the model does not take and give float32")
        self._numpy, self._shape = numpy, (1, shape.steps, shape.channels)
        self._given, self._told = given["index"], told["index"]
        self._interpreter = interpreter

    def score(self, window: array[float]) -> tuple[float, ...]:
        numpy = self._numpy
        try:
            values = numpy.frombuffer(window, dtype=numpy.float32).reshape(self._shape)
            self._interpreter.set_tensor(self._given, values)
            self._interpreter.invoke()
            return tuple(self._interpreter.get_tensor(self._told)[0].tolist())
        except (ValueError, RuntimeError) as error:
            raise ModelRefused(f"LiteRT failed: {first_line(error)}") from error

    def version(self) -> str:
        return self._version

    def close(self) -> None:
        self._interpreter = None


def _installed() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("ai-edge-litert")
    except PackageNotFoundError:
        return ""
