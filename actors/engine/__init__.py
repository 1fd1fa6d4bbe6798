"""Steered generation: rows of many cells share one batch of slots.

Glossary, one noun per file: ``rows`` (what is generated), ``attention`` (the attention that makes a row's bits independent
of its batch), ``cache`` (keys and values per slot), ``segments`` (one forward over a span of prompt tokens), ``prefill``
(shared trunks and prefixes), ``decode`` (one token for every slot), ``memory`` (how many slots fit), ``engine`` (the loop).
"""
