"""Control vectors as llama.cpp and repeng have them: a GGUF with a tensor ``direction.<l>`` for each layer.

llama.cpp adds ``direction.<l>`` to the output of block l, counted from 0 as everywhere here, at every token. It refuses
``direction.0``: what acts at layer 0 cannot leave this way. The vectors have length 1; ``steering.scale`` is what
``--control-vector-scaled`` takes beside the file.
"""

from __future__ import annotations

from pathlib import Path

from orchestrator.errors import InputError
from orchestrator.exports.vectors import LayerVectors

ARCHITECTURE = "controlvector"


def write_control_vector(vectors: LayerVectors, path: Path) -> None:
    """The file; InputError where layer 0 is all there is, or where a cell's steering needs it."""
    import gguf

    told = {key: value for key, value in vectors.told.items() if value}
    if 0 in vectors.at and (vectors.scale is not None or len(vectors.at) == 1):
        raise InputError.because(
            f"{vectors.name} acts at layer 0, where llama.cpp has no control vector", allowed="layers from 1"
        )
    writer = gguf.GGUFWriter(path, ARCHITECTURE)
    writer.add_string(f"{ARCHITECTURE}.model_hint", told["model"])
    writer.add_uint32(f"{ARCHITECTURE}.layer_count", len(vectors.at.keys() - {0}))
    for key, value in told.items():
        writer.add_string(f"steering.{key}", value)
    writer.add_float32("steering.scale", 1.0 if vectors.scale is None else vectors.scale)
    for layer, vector in vectors.at.items():
        if layer:
            writer.add_tensor(f"direction.{layer}", vector)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
