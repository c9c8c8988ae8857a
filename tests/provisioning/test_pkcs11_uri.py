"""PKCS #11 URIs: what is read, what is refused with a word about why, and that none repeats a PIN."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provisioning.errors import BadSetting
from provisioning.pkcs11_uri import EXAMPLE, TokenUri, parse

LIBRARY = "module-path=/usr/lib/x.so"
PRINTABLE = st.text(st.characters(exclude_categories=("C", "Z")), max_size=8)


def test_what_is_told_is_read() -> None:
    assert parse(EXAMPLE) == TokenUri(
        "lamppost-root", object="root", module_path="/usr/lib/softhsm/libsofthsm2.so"
    )
    told = (
        "pkcs11:token=My%20%2Ftoken;serial=00A;manufacturer=ACME;model=3;object=a%3Bb;id=%00%FF1;type=private"
        "?pin-source=file:/etc/pin&module-path=/usr/lib/x.so"
    )
    assert parse(told) == TokenUri(
        "My /token", "00A", "ACME", "3", "a;b", b"\x00\xff1", "/usr/lib/x.so", "/etc/pin"
    )
    for source in ("file:///etc/pin", "/etc/pin", "file:%2Fetc%2Fpin"):
        assert parse(f"pkcs11:token=t;id=1?{LIBRARY}&pin-source={source}").pin_source == "/etc/pin"


@given(
    st.builds(
        TokenUri, token=PRINTABLE.filter(bool), serial=PRINTABLE, manufacturer=PRINTABLE, model=PRINTABLE,
        object=PRINTABLE.filter(bool), id=st.binary(max_size=8),
        module_path=PRINTABLE.map(lambda each: f"/{each}"),
        pin_source=PRINTABLE.filter(lambda each: not each.startswith("/")).map(lambda each: f"/{each}"),
    )
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_back(uri: TokenUri) -> None:
    assert parse(str(uri)) == uri


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no PKCS #11 URI"),
        ("root.key", "no PKCS #11 URI"),
        ("PKCS11:token=a", "no PKCS #11 URI"),
        ("pkcs11:", "names no token"),
        ("pkcs11:object=root?" + LIBRARY, "names no token"),
        ("pkcs11:token=;object=root?" + LIBRARY, "names no token"),
        ("pkcs11:token=t?" + LIBRARY, "names no key"),
        ("pkcs11:token=t;object=root", "library"),
        ("pkcs11:token=t;object=root?module-path=x.so", "library"),
        ("pkcs11:token=t;object=root?module-name=softhsm2", "module-path=/usr"),
        ("pkcs11:slot-id=0;object=root?" + LIBRARY, "Slots change"),
        ("pkcs11:token=t;token=u;object=root?" + LIBRARY, "twice"),
        ("pkcs11:token=t;object=root;type=public?" + LIBRARY, "private"),
        ("pkcs11:token=t;object=root;x-mine=1?" + LIBRARY, "not understood"),
        ("pkcs11:token=t;object=a b?" + LIBRARY, "percent-encoded"),
        ("pkcs11:token=t;object=%zz?" + LIBRARY, "percent-encoded"),
        ("pkcs11:token=t;object?" + LIBRARY, "percent-encoded"),
        ("pkcs11:token=t;;object=root?" + LIBRARY, "not understood"),
        ("pkcs11:token=%FF;object=root?" + LIBRARY, "UTF-8"),
        ("pkcs11:token=t;object=%00?" + LIBRARY, "printed"),
        ("pkcs11:token=t;object=root?" + LIBRARY + "&pin-source=|/bin/pin", "no file"),
        ("pkcs11:token=t;object=root?" + LIBRARY + "&pin-source=file://host/pin", "no file"),
        ("pkcs11:token=t;object=root?" + LIBRARY + "&pin-source=https://host/pin", "no file"),
        ("pkcs11:token=t;object=" + "x" * 1000 + "?" + LIBRARY, "1000"),
    ],
)
def test_what_names_no_key_is_refused(text: str, told: str) -> None:
    with pytest.raises(BadSetting, match=told):
        parse(text)


@pytest.mark.parametrize(
    "text", ["{}?pin-value=4711", "{}?PIN-VALUE=4711", "x pin-value=4711", "{}&pin-value=4711"]
)
def test_a_pin_in_a_uri_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(BadSetting, match="LAMPPOST_TOKEN_PIN") as refused:
        parse(text.format("pkcs11:token=t;object=root"))
    assert "4711" not in str(refused.value)
