"""Pictures lose what tells where and when they were taken, and stay pictures."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provisioning.technician import photos
from provisioning.technician.errors import WrongInput

PLACE = b"41.1496N 8.6109W by Ana's telephone"


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def exif(orientation: int) -> bytes:
    """An Exif as a phone writes it: the orientation, and a text with the place."""
    tiff = b"II*\0" + struct.pack("<IH", 8, 2)
    tiff += struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    tiff += struct.pack("<HHII", 0x010E, 2, len(PLACE), 64) + bytes(30) + PLACE
    return segment(0xE1, b"Exif\0\0" + tiff)


SCAN = segment(0xDA, b"\x01\x01\x00\x00\x3f\x00") + b"\x12\xff\x00\x34\xff\xd0\x56"
JPEG = (
    b"\xff\xd8"
    + segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
    + exif(6)
    + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + PLACE)
    + segment(0xE2, b"MPF\0" + PLACE)
    + segment(0xE2, b"ICC_PROFILE\0\1\1colours")
    + segment(0xFE, PLACE)
    + segment(0xDB, b"\0" + bytes(64))
    + segment(0xC0, b"\x08\0\1\0\1\1\1\x11\0")
    + SCAN
    + b"\xff\xd9"
)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


PNG = (
    b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    + chunk(b"tEXt", b"Comment\0" + PLACE)
    + chunk(b"eXIf", PLACE)
    + chunk(b"tIME", bytes(7))
    + chunk(b"IDAT", zlib.compress(b"\0\0"))
    + chunk(b"IEND", b"")
)


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP" + b"".join(k + struct.pack("<I", len(c)) + c + b"\0" * (len(c) % 2) for k, c in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


WEBP = riff((b"VP8X", b"\x0c\0\0\0" + bytes(6)), (b"VP8 ", b"abc"), (b"EXIF", PLACE), (b"XMP ", PLACE))
KINDS = {photos.JPEG: JPEG, photos.PNG: PNG, photos.WEBP: WEBP}


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_camera_wrote_is_gone_and_the_picture_is_there(kind: str) -> None:
    given = KINDS[kind]
    assert PLACE in given
    left = photos.stripped(given)
    assert PLACE[:9] not in left
    assert photos.media_type(left) == kind
    assert photos.stripped(left) == left, "nothing more is taken the second time"


def test_a_jpeg_keeps_its_scan_its_colours_and_which_way_is_up() -> None:
    left = photos.stripped(JPEG + b"a film of five seconds" + PLACE)
    assert left.endswith(SCAN + b"\xff\xd9")
    assert b"ICC_PROFILE" in left
    assert b"MPF" not in left
    assert photos._orientation(left[left.index(b"Exif\0\0") + 6 :]) == 6
    upright = photos.stripped(JPEG.replace(exif(6), exif(1)))
    assert b"Exif" not in upright


def test_a_webp_no_longer_says_that_it_has_what_was_taken_out() -> None:
    left = photos.stripped(WEBP)
    assert left[20] == 0
    assert struct.unpack("<I", left[4:8])[0] == len(left) - 8


@pytest.mark.parametrize(
    "garbage",
    [
        b"", b"<svg onload=alert(1)>", b"GIF89a", JPEG[:40], JPEG[:-2], PNG[:-6], PNG[:20], WEBP[:-10],
        b"\xff\xd8\xff", b"\xff\xd8\xff\xe1\x00\x00", b"RIFF\xff\xff\xff\x7fWEBP",
        riff((b"VP8X", b"\x02\0\0\0" + bytes(6))), PNG.replace(b"tIME", b"TIME"),
        JPEG + b"x" * photos.PHOTO_MAX_BYTES,
    ],
)  # fmt: skip
def test_what_is_no_picture_is_refused(garbage: bytes) -> None:
    with pytest.raises(WrongInput):
        photos.stripped(garbage)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.data())
def test_no_damage_makes_it_fail_in_another_way(kind: str, data: st.DataObject) -> None:
    given = bytearray(KINDS[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        given[data.draw(st.integers(0, len(given) - 1))] = data.draw(st.integers(0, 255))
    with suppress(WrongInput):
        photos.stripped(bytes(given[: data.draw(st.integers(1, len(given)))]))
