#!/bin/sh
# Makes .venv-train, in which models are trained: torch and the converters (2 GB) never enter .venv.
#
# Does nothing when it already holds these pins. Needs .venv (tools/ensure_venv.sh), whose pip it uses.
set -eu
cd "$(dirname "$0")/.."
. tools/common.sh
venv=.venv-train
pins=models/train-constraints.txt

stamp_text() {
    "$venv/bin/python" -c 'import sys; print(sys.version)' 2>/dev/null || return 1
    pwd -P
    cksum "$pins" tools/ensure_train.sh
}

into() { .venv/bin/python -m pip --disable-pip-version-check --python "$venv/bin/python" install -q --no-input \
    --prefer-binary --progress-bar off -c "$pins" "$@"; }

if wanted=$(stamp_text) && [ "$wanted" = "$(cat "$venv/.installed" 2>/dev/null)" ]; then exit 0; fi
say "Making the training environment in $venv: torch and the converters, 2 GB (minutes the first time) ..."
.venv/bin/python -m venv --clear --without-pip "$venv"
# torch first and alone: where a build without CUDA is offered, that is the one taken.
quietly "pip install torch" "$venv/install-torch.log" into torch==2.13.0
# litert-torch asks for transformers and what belongs to language models; converting a convolution needs none of
# it. What it does need stands here, and it comes without its own list.
quietly "pip install" "$venv/install.log" into ai-edge-litert ai-edge-quantizer litert-converter absl-py jax \
    jaxlib torchao rich scipy onnx onnxruntime pyarrow scikit-learn numpy
quietly "pip install litert-torch" "$venv/install-litert-torch.log" into --no-deps litert-torch litert-lm-builder
stamp_text >"$venv/.installed"
