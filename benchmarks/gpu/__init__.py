"""The checks of ``benchmarks.gpu_check``: is the engine right on this GPU, and how fast."""
