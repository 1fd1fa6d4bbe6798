"""The names that the driver accepts are those that the actors know."""

from __future__ import annotations

import typing
from dataclasses import asdict

from actors.embedded import EMBEDDED_MODELS
from actors.extraction import EXTRACTORS
from actors.loading import DTYPES
from actors.types import DType, ExtractorName
from orchestrator.models.files import EMBEDDED
from orchestrator.sweep_file.schema import ModelEntry


def test_name_tables_agree() -> None:
    assert set(typing.get_args(ExtractorName)) == set(EXTRACTORS)
    assert set(typing.get_args(DType)) == set(DTYPES)


def test_both_sides_mean_the_same_embedded_model() -> None:
    """The driver may not import the loader, so the file's digest stands twice."""
    assert set(EMBEDDED) == set(EMBEDDED_MODELS)
    for name, ours in EMBEDDED.items():
        theirs = asdict(EMBEDDED_MODELS[name])
        assert (ours.package, ours.version, ours.file, ours.sha256) == tuple(
            theirs[key] for key in ("package", "version", "file", "sha256")
        )
        assert (ours.config["num_hidden_layers"], ours.config["hidden_size"]) == (theirs["layers"], theirs["d_model"])
        assert ModelEntry(embedded=name).embedded == name  # type: ignore[arg-type]
