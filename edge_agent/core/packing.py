"""The files that a command sends: texts that the list names, without secrets and places, packed. Pure.

The only module that makes a FilePiece (a test sees to it): what is not a listed part, or not a text, does not
get into a file, whoever asks.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Collection, Mapping

import zstandard

from edge_agent.core.allow_list import PARTS
from edge_agent.core.leaving import Stayed, coarse
from wire_contract.limits import FILE_PIECE_BYTES, MAX_FILE_BYTES
from wire_contract.messages import FilePiece

LEVEL = 10  # zstd's; a second of a Raspberry Pi for 4 MB, and a tenth less to pay for than level 3
PART_MOST_CHARACTERS = 4 << 20  # packed it is a tenth; a device of 512 MB must survive it
SHORTEST_SECRET = 6  # characters; a shorter one would take ordinary words with it
SECRET = "[secret]"  # noqa: S105 - what stands in its place
_SECRETS = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"),  # user and password in an address
    re.compile(r"\blp_[A-Za-z0-9_-]{16,}"),  # the server's API tokens
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"),  # a JSON web token (RFC 7519)
    re.compile(r"(?i)(?<=bearer )[A-Za-z0-9._~+/=-]{8,}"),
)
_NAMED = re.compile(
    r"(?i)((?:password|passwd|passphrase|secret|token|claim|api[_-]?key|private[_-]?key)[\w.-]{0,64}"
    r"[\"']?\s*[=:]\s*)(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s,;]+)"
)


def file_of(
    command: str,
    name: str,
    parts: Mapping[str, str],
    secrets: Collection[str] = (),
    stayed: Stayed = lambda _name: None,
) -> tuple[FilePiece, ...]:
    """The pieces of a tar archive of `parts` (name -> text), compressed, at most MAX_FILE_BYTES.

    secrets: values that must not be in it. `stayed` hears of parts that are not listed. A part that would
    make it too large loses its beginning: the end of a log is what matters.
    """
    texts = {}
    for part, text in parts.items():
        if part in PARTS:
            texts[part] = clean(text[-PART_MOST_CHARACTERS:], secrets)
        else:
            stayed(f"{name}[{part}]")
    content = _packed(texts)
    while len(content) > MAX_FILE_BYTES:
        longest = max(texts, key=lambda part: len(texts[part]))
        texts[longest] = texts[longest][len(texts[longest]) // 2 :]
        content = _packed(texts)
    digest = hashlib.sha256(content).digest()
    return tuple(
        FilePiece(command, name, index, len(content), digest, content[start : start + FILE_PIECE_BYTES])
        for index, start in enumerate(range(0, len(content), FILE_PIECE_BYTES))
    )


def clean(text: str, secrets: Collection[str] = ()) -> str:
    """The text without these secrets, without what looks like one, and without a place."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, SECRET)
    for pattern in _SECRETS:
        text = pattern.sub(SECRET, text)
    return coarse(_NAMED.sub(rf"\1{SECRET}", text))


def _packed(texts: Mapping[str, str]) -> bytes:
    """The same bytes for the same texts."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, text in texts.items():
            content = text.encode("utf-8", "replace")
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return zstandard.ZstdCompressor(level=LEVEL, write_content_size=True).compress(out.getvalue())
