"""A model's own generation settings beside a sweep's: which of them would choose other tokens than the likeliest ones.

A sweep compares the likeliest token under a steering with the likeliest one without it. What a model's ``generation_config``
adds to that (a penalty for repeating, tokens that it never says) is not applied, and said. Its end tokens are.
"""

from __future__ import annotations

from collections.abc import Mapping

NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "repetition_penalty": (1.0,),
    "encoder_repetition_penalty": (1.0,),
    "no_repeat_ngram_size": (0,),
    "encoder_no_repeat_ngram_size": (0,),
    "bad_words_ids": ([],),
    "sequence_bias": ({}, []),
    "suppress_tokens": ([],),
    "begin_suppress_tokens": ([],),
    "min_length": (0,),
    "min_new_tokens": (0,),
    "forced_bos_token_id": (),
    "forced_eos_token_id": (),
    "forced_decoder_ids": ([],),
    "exponential_decay_length_penalty": (),
    "guidance_scale": (1.0,),
    "watermarking_config": (),
    "stop_strings": ([],),
    "num_beams": (1,),
    "num_beam_groups": (1,),
    "constraints": ([],),
    "force_words_ids": ([],),
    "penalty_alpha": (0.0,),
    "dola_layers": (),
}
"""Settings that change what greedy decoding gives, each with the values (beside none) at which it changes nothing."""

SHOWN = 60


def not_applied(settings: Mapping[str, object]) -> str:
    """Those of a generation config's ``settings`` that a sweep leaves aside, with their values; empty when there are none."""
    found = {name: settings[name] for name, neutral in NEUTRAL.items() if settings.get(name) not in (None, *neutral)}
    return ", ".join(f"{name} {_short(value)}" for name, value in found.items())


def sentence(settings: Mapping[str, object]) -> str:
    """The same as a sentence; empty when there is nothing to say."""
    found = not_applied(settings)
    return f"its generation_config sets {found}: not applied, every cell takes the likeliest token" if found else ""


def _short(value: object) -> str:
    text = "".join(character if character.isprintable() else " " for character in str(value))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
