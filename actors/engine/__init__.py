"""Steered generation: rows of many cells share one batch of slots.

Glossary, one noun per file: ``rows`` (what is generated), ``attention`` (the attention that makes a row's bits independent
of its batch), ``cache`` (keys and values per slot), ``segments`` (one forward over a span of prompt tokens), ``prefill``
(shared prefix prefill), ``shared_prefixes`` (what it keeps), ``decode`` (one token for every slot), ``graphs`` (recording that
step), ``recorded_batches`` (those kept for the next call), ``memory`` (how many slots fit), ``engine`` (the loop).
"""
