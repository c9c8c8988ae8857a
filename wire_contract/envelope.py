"""Messages as bytes: a header of 10 bytes, then a MessagePack body, zstd where smaller.

    version   u8 = 1
    encoding  u8: 0 plain, 1 zstd
    length    u32, little endian: bytes that follow the header
    crc32     u32, little endian, of those bytes

`decode` raises a WireError or returns a message, for any bytes whatever, and allocates no more than
limits.py allows: sizes are checked before anything is decompressed.
"""

from __future__ import annotations

import struct
import threading
import zlib
from typing import Final, get_args

import msgspec
import zstandard

from wire_contract.block_codec import ParsedBlock, encode_block, expand_block, parse_block
from wire_contract.errors import (
    FutureVersion,
    MalformedMessage,
    OversizedMessage,
    TruncatedMessage,
    UnknownKind,
)
from wire_contract.limits import (
    COMPRESS_FROM_BYTES,
    MAX_BLOCKS,
    MAX_BODY_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_ROWS,
)
from wire_contract.messages import Message, SampleBatch

VERSION: Final = 1
PLAIN: Final = 0
ZSTD: Final = 1
HEADER: Final = struct.Struct("<BBII")
_ARRAY_16: Final = b"\xdc"
_LEVEL: Final = 3  # zstd's default; higher levels gain under 1 % here


class Blocks(msgspec.Struct, frozen=True, array_like=True, tag="S"):
    """A SampleBatch as it travels: each block one byte string (block_codec.py)."""

    blocks: tuple[bytes, ...]


KIND_OF_TAG: Final[dict[str, type[msgspec.Struct]]] = {
    kind.__struct_config__.tag: kind for kind in get_args(Message)
}
_WIRE_TYPES: Final = {**KIND_OF_TAG, "S": Blocks}
_DECODERS: Final = {tag: msgspec.msgpack.Decoder(kind) for tag, kind in _WIRE_TYPES.items()}
_ENCODER: Final = msgspec.msgpack.Encoder()
_local = threading.local()  # zstandard's contexts must not be shared between threads


def encode(message: Message) -> bytes:
    """Bytes that `decode` gives back as an equal message.

    Raises MalformedMessage where the message breaks its contract, OversizedMessage where it does not
    fit the limits.
    """
    try:
        if isinstance(message, SampleBatch):
            check_blocks(len(message.blocks), sum(len(block.times_ms) for block in message.blocks))
            return seal(_ENCODER.encode(Blocks(tuple(encode_block(block) for block in message.blocks))))
        body = _ENCODER.encode(message)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise MalformedMessage(f"{type(message).__name__}: {error}") from error
    decode_body(body)
    return seal(body)


def decode(payload: bytes) -> Message:
    """The message in these bytes. Raises a WireError, and nothing else, for any bytes."""
    content = decode_body(open_body(payload))
    if isinstance(content, Blocks):
        return SampleBatch(tuple(expand_block(block) for block in parse_blocks(content)))
    return content


def parse_blocks(content: Blocks) -> list[ParsedBlock]:
    """Find the parts of every block and check the counts, before any is expanded. Raises MalformedMessage."""
    check_blocks(len(content.blocks), 0)
    blocks = [parse_block(data) for data in content.blocks]
    check_blocks(len(blocks), sum(block.rows for block in blocks))
    return blocks


def check_blocks(blocks: int, rows: int) -> None:
    """Raises MalformedMessage: a batch has 1 to MAX_BLOCKS blocks and at most MAX_ROWS rows in all."""
    if not 1 <= blocks <= MAX_BLOCKS or rows > MAX_ROWS:
        raise MalformedMessage(
            f"{blocks} blocks with {rows} rows: allowed are 1 to {MAX_BLOCKS} with {MAX_ROWS}"
        )


def seal(body: bytes) -> bytes:
    """Put the header before a body. Raises OversizedMessage."""
    if len(body) > MAX_BODY_BYTES:
        raise OversizedMessage(f"a body of {len(body)} bytes: at most {MAX_BODY_BYTES}")
    encoding = PLAIN
    if len(body) >= COMPRESS_FROM_BYTES:
        smaller = _compressor().compress(body)
        if len(smaller) < len(body):
            encoding, body = ZSTD, smaller
    if HEADER.size + len(body) > MAX_MESSAGE_BYTES:
        raise OversizedMessage(f"a message of {HEADER.size + len(body)} bytes: at most {MAX_MESSAGE_BYTES}")
    return HEADER.pack(VERSION, encoding, len(body), zlib.crc32(body)) + body


def open_body(payload: bytes) -> bytes:
    """Check the header and give the body, decompressed. Raises a WireError."""
    if len(payload) > MAX_MESSAGE_BYTES:
        raise OversizedMessage(f"a message of {len(payload)} bytes: at most {MAX_MESSAGE_BYTES}")
    if payload and payload[0] > VERSION:
        raise FutureVersion(f"version {payload[0]}: this program knows {VERSION}")
    if len(payload) < HEADER.size:
        raise TruncatedMessage(f"{len(payload)} bytes: the header has {HEADER.size}")
    version, encoding, length, checksum = HEADER.unpack_from(payload)
    body = payload[HEADER.size :]
    if version != VERSION or encoding not in (PLAIN, ZSTD):
        raise MalformedMessage(f"version {version}, encoding {encoding}: not ours")
    if length > MAX_MESSAGE_BYTES - HEADER.size:
        raise OversizedMessage(f"the header promises {length} bytes: at most {MAX_MESSAGE_BYTES} in all")
    if len(body) < length:
        raise TruncatedMessage(f"{len(body)} bytes of {length}")
    if len(body) > length:
        raise MalformedMessage(f"{len(body) - length} bytes behind the message")
    if zlib.crc32(body) != checksum:
        raise MalformedMessage("the checksum does not fit: damaged on the way")
    return _decompress(body) if encoding == ZSTD else body


def decode_body(body: bytes) -> Message | Blocks:
    """The message in a body; samples stay packed. Raises UnknownKind, MalformedMessage."""
    tag = _tag(body)
    decoder = _DECODERS.get(tag)
    if decoder is None:
        raise UnknownKind(f"kind {tag!r}: this program knows {' '.join(sorted(_DECODERS))}")
    try:
        message: Message | Blocks = decoder.decode(body)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        raise MalformedMessage(f"kind {tag!r}: {error}") from error
    return message


def _tag(body: bytes) -> str:
    """The first element of the array, a short string: MessagePack's fixarray or array 16, then fixstr."""
    at = 3 if body[:1] == _ARRAY_16 else 1
    if len(body) < at + 1 or not (at == 3 or 0x91 <= body[0] <= 0x9F) or not 0xA1 <= body[at] <= 0xA8:
        raise MalformedMessage("the body is not an array that starts with a tag")
    size = body[at] & 0x1F
    tag = body[at + 1 : at + 1 + size]
    if len(tag) != size or not tag.isalnum():
        raise MalformedMessage("the tag is not one to eight letters")
    return tag.decode("ascii")


def _decompress(body: bytes) -> bytes:
    """Never allocates beyond MAX_BODY_BYTES: the frame says its size, or is refused."""
    try:
        size = zstandard.get_frame_parameters(body).content_size
        if size == zstandard.CONTENTSIZE_UNKNOWN:
            raise MalformedMessage("the zstd frame does not say its size")
        if size > MAX_BODY_BYTES:
            raise OversizedMessage(f"decompresses to {size} bytes: at most {MAX_BODY_BYTES}")
        content: bytes = _decompressor().decompress(
            body, max_output_size=MAX_BODY_BYTES, allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise MalformedMessage(f"zstd: {error}") from error
    if len(content) != size:
        raise MalformedMessage(f"decompresses to {len(content)} bytes, promised {size}")
    return content


def _compressor() -> zstandard.ZstdCompressor:
    if not hasattr(_local, "compressor"):
        _local.compressor = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True)
    compressor: zstandard.ZstdCompressor = _local.compressor
    return compressor


def _decompressor() -> zstandard.ZstdDecompressor:
    if not hasattr(_local, "decompressor"):
        _local.decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_BODY_BYTES)
    decompressor: zstandard.ZstdDecompressor = _local.decompressor
    return decompressor
