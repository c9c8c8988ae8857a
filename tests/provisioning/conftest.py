"""Tokens, made once: a library reads its configuration when it is loaded, once in a process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.softhsm import SoftToken, configure, make_token, module


@pytest.fixture(scope="session")
def soft_tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, SoftToken]]:
    """By label; of "twin" there are two."""
    pytest.importorskip("pkcs11")
    if not module():
        pytest.skip("SoftHSM 2 is not installed (apt-get install softhsm2)")
    file = configure(tmp_path_factory.mktemp("softhsm"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(file))
        labels = ("first", "second one", "twin", "twin")
        yield {label: make_token(label, f"pin of {label}", file) for label in labels}
