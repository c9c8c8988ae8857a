"""Files for support: listed texts only, no secret and no place in any byte, never too large."""

from __future__ import annotations

import hashlib
import io
import random
import tarfile

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.core.allow_list import CONFIG_KEYS, PARTS
from edge_agent.core.packing import SECRET, clean, file_of
from wire_contract.limits import MAX_FILE_BYTES, MAX_FILE_PIECES
from wire_contract.messages import FilePiece

CLAIM = "k3bq9x.7Zt0VYQy1bq4mW8d"


def unpacked(pieces: tuple[FilePiece, ...]) -> dict[str, str]:
    content = b"".join(piece.data for piece in pieces)
    assert {piece.sha256 for piece in pieces} == {hashlib.sha256(content).digest()}
    assert {piece.size for piece in pieces} == {len(content)}
    with tarfile.open(fileobj=io.BytesIO(zstandard.ZstdDecompressor().decompress(content))) as archive:
        files = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        return {name: file.read().decode() for name, file in files.items() if file is not None}


def test_only_listed_parts_get_in() -> None:
    stayed: list[str] = []
    parts = {"log.txt": "a line", "device.key": "no", "../log.txt": "no", "versions.txt": "agent 1"}
    pieces = file_of("c1", "bundle.tar.zst", parts, (), stayed.append)
    assert unpacked(pieces) == {"log.txt": "a line", "versions.txt": "agent 1"}
    assert stayed == ["bundle.tar.zst[device.key]", "bundle.tar.zst[../log.txt]"]
    assert unpacked(file_of("c1", "log.tar.zst", {})) == {}


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        (f"enrolling with {CLAIM} now", CLAIM),
        ("-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIB\n-----END EC PRIVATE KEY-----", "MHcCAQEEIB"),
        ("-----BEGIN PRIVATE KEY-----\nMHcCAQEEIB and the rest is cut", "MHcCAQEEIB"),
        ("postgresql://ana:hunter22@db/x", "hunter22"),
        ("Authorization: Bearer abcdefghijkl", "abcdefghijkl"),
        ("token=lp_abcdefghijklmnopqrstuvwxyz", "lp_abcdefghijklmnopqrstuvwxyz"),
        ("sent lp_abcdefghijklmnopqrstuvwxyz", "lp_abcdefghijklmnopqrstuvwxyz"),
        ("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.sig", "eyJzdWIiOiJhIn0"),
        ('{"claim": "a b c", "n": 1}', "a b c"),
        ("mqtt_password: swordfish", "swordfish"),
        ("API-Key = 'swordfish'", "swordfish"),
        (f"{'a.' * 40_000}token_of_mine=swordfish", "swordfish"),  # and it takes no minute
        ("at 52.516275,13.377704 it stands", "52.516"),
    ],
)
def test_secrets_and_places_stay(text: str, gone: str) -> None:
    assert gone in text
    assert gone not in clean(text, (CLAIM,))


@pytest.mark.parametrize(
    "text",
    [
        "connected to the broker as city/post-1",
        "sensor_silent front: no frame for 30 s. Check the plug",
        "settings version 7: live samples leave each 10 s",
        "a1b2c3d4e5f60718293a4b5c6d7e8f90",
        '{"epoch": "00112233445566778899aabbccddeeff", "latest": {"front": {"pm2_5": 3.1}}}',
    ],
)
def test_ordinary_words_are_left_alone(text: str) -> None:
    assert clean(text, (CLAIM, "x")) == text


@settings(max_examples=50)
@given(st.text(max_size=60), st.text(min_size=6, max_size=30), st.text(max_size=60))
def test_a_known_secret_is_in_no_byte(before: str, secret: str, after: str) -> None:
    if secret not in SECRET:
        cleaned = clean(before + secret + after, (secret,))
        assert secret not in cleaned.replace(SECRET, "")


def test_what_cannot_be_pressed_loses_its_beginning_and_fits() -> None:
    rng = random.Random(2)
    noise = "".join(chr(0x4E00 + rng.randrange(20_000)) for _ in range(900_000)) + "the end"
    pieces = file_of("c1", "bundle.tar.zst", {"log.txt": noise, "disk.txt": "free"})
    assert pieces[0].size <= MAX_FILE_BYTES
    assert len(pieces) <= MAX_FILE_PIECES
    found = unpacked(pieces)
    assert found["disk.txt"] == "free"
    assert found["log.txt"].endswith("the end")


def test_the_lists_name_no_place_and_no_secret() -> None:
    assert not {key.rpartition(".")[2] for key in CONFIG_KEYS} & {
        *("latitude", "longitude", "site", "claim", "data_dir", "url"),
        *("ca_file", "key_file", "certificate_file"),
    }
    assert all(PARTS.values())
