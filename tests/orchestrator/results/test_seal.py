"""No flipped bit of a part's footer is passed over, and files without a seal are read as before."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from orchestrator.results.parts import StoredScores, decode_scores, encode_scores
from orchestrator.results.seal import seal_holds, sealed
from orchestrator.scoring.score import Labels, ResponseScore
from orchestrator.storage import StoredFile, UnreadableFileError, open_files

SCORES = tuple(ResponseScore(f"p{number}", "yes", None, "{}", "an answer") for number in range(5))
GIVEN = StoredScores.of("made-up@1", Labels(("yes", "no"), "yes"), SCORES, datetime(2026, 1, 1, tzinfo=UTC))
SEAL = 46


def footer_of(content: bytes) -> int:
    """Where the footer begins."""
    return len(content) - 8 - int.from_bytes(content[-8:-4], "little")


def read(folder: Path, content: bytes) -> StoredScores:
    (folder / "part.parquet").write_bytes(content)
    return decode_scores(StoredFile(open_files(folder), "part.parquet"), "made-up@1", "cell-a")


def test_every_flipped_bit_of_a_footer_is_noticed(tmp_path: Path) -> None:
    content = bytearray(encode_scores("cell-a", GIVEN))
    assert read(tmp_path, bytes(content)) == GIVEN
    footer = range(footer_of(bytes(content)), len(content) - 8)
    assert len(footer) > 1000
    for place in footer:
        for bit in range(8):
            content[place] ^= 1 << bit
            assert seal_holds(bytes(content)) is False, f"bit {bit} of byte {place}"
            content[place] ^= 1 << bit
    content[footer[len(footer) // 2]] ^= 1
    with pytest.raises(UnreadableFileError, match="footer"):
        read(tmp_path, bytes(content))


def test_a_part_of_an_earlier_version_has_no_seal_and_is_read(tmp_path: Path) -> None:
    content = encode_scores("cell-a", GIVEN)
    start = footer_of(content)
    unsealed = content[: start - SEAL] + content[start:]
    assert sealed(unsealed) == content
    assert seal_holds(content) is True
    assert seal_holds(unsealed) is None
    assert read(tmp_path, unsealed) == GIVEN


def test_other_readers_of_parquet_read_it_as_before() -> None:
    content = encode_scores("cell-a", GIVEN)
    assert pq.read_table(BytesIO(content)).column("prompt_id").to_pylist() == [one.prompt_id for one in SCORES]
    assert pl.read_parquet(BytesIO(content))["answer"].to_list() == [one.answer for one in SCORES]


@pytest.mark.parametrize("content", [b"", b"PAR1", b"\xff" * 11, b"\xff" * 300])
def test_what_is_no_parquet_file_is_left_to_its_reader(content: bytes) -> None:
    assert seal_holds(content) is None
