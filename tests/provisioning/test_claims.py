"""Claim tokens: unguessable, unmistakable, and hashed at rest."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from provisioning import claims


def test_a_new_token_parses_back_and_hides_its_secret() -> None:
    for _ in range(200):
        token = claims.new_token()
        assert claims.parse_token_text(f" {token}\n") == token
        assert token.secret not in repr(token)
        assert not set(token.id) & set("01ilo")


def test_no_two_are_alike() -> None:
    assert len({claims.new_token().secret for _ in range(500)}) == 500


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_is_a_token_or_is_not(claim_id: str, secret: str) -> None:
    token = claims.parse_token(claim_id, secret)
    if token is not None:
        assert claims.parse_token_text(str(token)) == token


def test_only_the_secret_matches_its_hash() -> None:
    token = claims.new_token()
    stored = claims.secret_hash(token.secret)
    assert token.secret.encode() not in stored
    assert claims.secret_matches(token.secret, stored)
    assert not claims.secret_matches(token.secret + "x", stored)
    assert not claims.secret_matches("", stored)
