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
    pages, footer = _parts(content)
    return pages + _MARK + sha256(footer).digest() + footer


def is_broken(content: bytes) -> bool:
    """Whether a file has a digest and another footer; False where it has none, as those of earlier versions."""
    pages, footer = _parts(content)
    mark, digest = pages[-len(_MARK) - 32 : -32], pages[-32:]
    return mark == _MARK and digest != sha256(footer).digest()


def _parts(content: bytes) -> tuple[bytes, bytes]:
    """All before the footer, and the footer with what follows it."""
    start = len(content) - _END - int.from_bytes(content[-_END : -_END + 4], "little")
    return content[: max(0, start)], content[max(0, start) :]
