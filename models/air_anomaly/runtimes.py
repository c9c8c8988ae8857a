"""The shipped files run as the agent runs them, one window at a time, for measuring."""

from __future__ import annotations

import numpy as np

from models.air_anomaly.dataset import Floats32


def score_litert(model: bytes, x: Floats32) -> Floats32:
    """[n, outputs] by LiteRT on one thread."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    target = interpreter.get_output_details()[0]["index"]
    answers = []
    for window in x:
        interpreter.set_tensor(source, window[None])
        interpreter.invoke()
        answers.append(interpreter.get_tensor(target)[0].copy())
    return np.asarray(answers, dtype=np.float32)


def score_onnx(model: bytes, x: Floats32) -> Floats32:
    """[n, outputs] by ONNX Runtime on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.asarray([session.run(None, {name: window[None]})[0][0] for window in x], dtype=np.float32)
