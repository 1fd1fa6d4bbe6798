"""How fast the engine is, against what users would otherwise run. Run by hand: ``python -m benchmarks.throughput`` and friends.

Glossary, one noun per file: ``machine`` (what runs it, and who else is on it), ``timing`` (interleaved rounds), ``ratios``
(paired medians and verdicts), ``workload`` (model, prompts, cells), ``peers`` (the ways of others, in this process), ``outside``
(the ways of others, in environments of their own), ``table`` (what is printed and written).
"""
