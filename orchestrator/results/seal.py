"""A digest of a Parquet file's footer, kept in the file: its pages have checksums, its footer has none.

A flipped bit in what the footer says of a column can turn that column to nulls, or to another's values, unseen. The digest lies
between the last page and the footer, where the format leaves room, so that any reader of Parquet reads the file as before.
"""

from __future__ import annotations

from hashlib import sha256

_END = 8
"""The last bytes of a Parquet file: how long its footer is, in four bytes, and ``PAR1``."""
_MARK = b"footer-sha256:"


def sealed(content: bytes) -> bytes:
    """A Parquet file with the digest of its footer."""
    start = _footer(content)
    return content[:start] + _MARK + sha256(content[start:]).digest() + content[start:]


def seal_holds(content: bytes) -> bool | None:
    """Whether the footer of a file is the one that it has a digest of; None where it has none, as those of earlier versions."""
    start = _footer(content)
    mark, digest = content[max(0, start - len(_MARK) - 32) : max(0, start - 32)], content[max(0, start - 32) : start]
    return digest == sha256(content[start:]).digest() if mark == _MARK else None


def _footer(content: bytes) -> int:
    """Where the footer begins."""
    return max(0, len(content) - _END - int.from_bytes(content[-_END : -_END + 4], "little"))
