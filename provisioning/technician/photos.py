"""Pictures without what a camera writes into them: place, time, its own number. Pure.

JPEG (ITU-T T.81, JFIF, Exif 2.32), PNG (W3C) and WebP (RFC 9649) are rewritten segment by segment, or chunk
by chunk, without decoding: of a JPEG's Exif only the orientation is kept, in an Exif of 26 bytes of our own,
or phones' pictures would lie on their side. What is not exactly one of the three is refused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from provisioning.technician.errors import WrongInput

JPEG, PNG, WEBP = "image/jpeg", "image/png", "image/webp"
PHOTO_MAX_BYTES = 6 << 20  # a phone's picture of 12 megapixels is 3 to 5 MB
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
# PNG chunks that make the picture; text, time and eXIf are not among them (PNG third edition, section 11)
_PNG_KEPT = {
    b"IHDR",
    b"PLTE",
    b"IDAT",
    b"IEND",
    b"tRNS",
    b"gAMA",
    b"cHRM",
    b"sRGB",
    b"iCCP",
    b"sBIT",
    b"bKGD",
}
_WEBP_KEPT = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ICCP"}
_EXIF_FLAG, _XMP_FLAG, _ANIMATION_FLAG = 0x08, 0x04, 0x02  # of VP8X, RFC 9649 section 2.7
_ORIENTATION = 0x0112
_SOS, _EOI = 0xDA, 0xD9


def media_type(content: bytes) -> str:
    """Which of the three it is. Raises WrongInput."""
    if content.startswith(b"\xff\xd8\xff"):
        return JPEG
    if content.startswith(_PNG_MAGIC):
        return PNG
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return WEBP
    raise WrongInput("this is no picture", "Give a JPEG, a PNG or a WebP")


def stripped(content: bytes) -> bytes:
    """The picture without what tells where, when and by whom it was taken. The same again for its own result.

    Raises WrongInput.
    """
    if len(content) > PHOTO_MAX_BYTES:
        raise WrongInput(f"a picture has at most {PHOTO_MAX_BYTES >> 20} MiB")
    try:
        match media_type(content):
            case "image/jpeg":
                return _jpeg(content)
            case "image/png":
                return _PNG_MAGIC + b"".join(_png(content))
            case _:
                return _webp(content)
    except (struct.error, IndexError, ValueError) as error:
        raise WrongInput("the picture is damaged", "Take it again") from error


def _jpeg(content: bytes) -> bytes:
    kept, turned = [b"\xff\xd8"], 1
    at = 2
    while True:
        if content[at] != 0xFF:
            raise ValueError("no marker")
        marker = content[at + 1]
        if marker == 0xFF:  # fill
            at += 1
            continue
        if marker == _EOI or 0xD0 <= marker <= 0xD8 or marker <= 0x01:
            raise ValueError("no scan before its end")
        (length,) = struct.unpack_from(">H", content, at + 2)
        if length < 2:
            raise ValueError("a segment of no length")
        segment = content[at : at + 2 + length]
        if len(segment) < 2 + length:
            raise ValueError("cut off")
        if marker == 0xE1 and segment[4:10] == b"Exif\0\0":
            turned = _orientation(segment[10:])
        if marker == _SOS:
            break
        if _stays(marker, segment):
            kept.append(segment)
        at += 2 + length
    if turned != 1:
        kept.insert(1, _exif(turned))
    return b"".join(kept) + _scans(content, at)


def _stays(marker: int, segment: bytes) -> bool:
    """What makes the picture, its colours' profile, and what says how its colours are meant."""
    if marker == 0xE2:
        return segment[4:16] == b"ICC_PROFILE\0"
    if marker == 0xEE:
        return segment[4:9] == b"Adobe"
    return not (0xE0 <= marker <= 0xEF or marker == 0xFE)


def _scans(content: bytes, at: int) -> bytes:
    """From the first scan to the end of the picture; phones append films and previews after it."""
    end = at
    while True:
        end = content.index(b"\xff", end)
        marker = content[end + 1]
        if marker == _EOI:
            return content[at : end + 2]
        if marker in (0x00, 0xFF) or 0xD0 <= marker <= 0xD7:  # stuffed, filled, restarted
            end += 1 if marker == 0xFF else 2
            continue
        if 0xE0 <= marker <= 0xEF or marker == 0xFE:
            raise ValueError("data of an application within the scans")
        (length,) = struct.unpack_from(">H", content, end + 2)  # tables between progressive scans
        end += 2 + length


def _orientation(tiff: bytes) -> int:
    """The tag of the first directory (TIFF 6.0), 1 where there is none or it cannot be read."""
    try:
        order = {b"II": "<", b"MM": ">"}[tiff[:2]]
        (first,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, first)
        for number in range(min(count, 512)):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, first + 2 + 12 * number)
            if tag == _ORIENTATION and kind == 3 and 1 <= value <= 8:
                return int(value)
    except (KeyError, struct.error):
        pass
    return 1


def _exif(turned: int) -> bytes:
    """An APP1 with the orientation and nothing else."""
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, _ORIENTATION, 3, 1, turned, 0, 0)
    return b"\xff\xe1" + struct.pack(">H", 2 + 6 + len(tiff)) + b"Exif\0\0" + tiff


def _png(content: bytes) -> Iterator[bytes]:
    at = len(_PNG_MAGIC)
    kind = b""
    while kind != b"IEND":
        (length,) = struct.unpack_from(">I", content, at)
        kind = content[at + 4 : at + 8]
        chunk = content[at : at + 12 + length]
        if len(chunk) < 12 + length:
            raise ValueError("cut off")
        if kind in _PNG_KEPT:
            yield chunk
        elif not kind[:1].islower():
            raise ValueError("an unknown chunk that matters")
        at += 12 + length


def _webp(content: bytes) -> bytes:
    (size,) = struct.unpack_from("<I", content, 4)
    end = 8 + size
    if len(content) < end:
        raise ValueError("cut off")
    kept, at = [], 12
    while at < end:
        kind = content[at : at + 4]
        (length,) = struct.unpack_from("<I", content, at + 4)
        chunk = content[at : at + 8 + length + length % 2]
        if len(chunk) < 8 + length:
            raise ValueError("cut off")
        if kind == b"VP8X":
            if chunk[8] & _ANIMATION_FLAG:
                raise ValueError("a film")
            chunk = chunk[:8] + bytes([chunk[8] & ~(_EXIF_FLAG | _XMP_FLAG)]) + chunk[9:]
        if kind in _WEBP_KEPT:
            kept.append(chunk)
        at += 8 + length + length % 2
    if not kept:
        raise ValueError("empty")
    body = b"WEBP" + b"".join(kept)
    return b"RIFF" + struct.pack("<I", len(body)) + body
