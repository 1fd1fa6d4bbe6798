"""Vectors from a file of the user's, in place of directions that are found: of a paper, of another tool, of an earlier sweep."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from actors.errors import JobError
from actors.methods.contrast import Contrast, Found
from actors.methods.options import MethodOptions

Convention = Literal["block_output", "hidden_states"]


class FileOptions(MethodOptions):
    """``path``: a ``.gguf``, ``.npz``, ``.safetensors`` or ``.pt`` file (``actors.tensor_files``); it is in no identity.
    ``vectors``: the digest of what it holds, 16 hex digits; a file with other vectors is refused. ``name``: what to call it.
    ``convention``: what a number in the file counts, block outputs from 0, or transformers' ``hidden_states``, whose first is
    that of the embeddings. ``feature``: of weights of a sparse autoencoder (SAELens: ``W_dec``, beside it ``cfg.json``) the row
    that is taken; ``layer``: the block whose output it reads, where the file does not say it.
    """

    path: str = ""
    vectors: str = Field(default="", pattern="^([0-9a-f]{16})?$")
    name: str = Field(default="", max_length=60)
    convention: Convention = "block_output"
    feature: int | None = Field(default=None, ge=0)
    layer: int | None = Field(default=None, ge=0)

    @property
    def content(self) -> dict[str, Any]:
        """What they contribute to an identity: of a later version's only what is given, and not where the file lies."""
        return {key: value for key, value in super().content.items() if value is not None and key != "path"}


def file(contrast: Contrast, _options: FileOptions) -> Found:
    """The vectors that are given, each as long as in the file. The prompts are read for the norms of the residual stream."""
    if contrast.given is None:
        raise JobError("method file: no vectors were given; name a file under 'path'")
    given = contrast.given
    return Found(given.vectors.astype(np.float64), record=dict(given.record), layers=given.layers)
