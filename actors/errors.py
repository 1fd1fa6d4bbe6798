"""Errors that cross the wire between a worker and the driver.

Each class is one *kind* of failure: the scheduler's retry rule decides by class, never by the text of a message.
"""

from __future__ import annotations


class WorkerError(Exception):
    """Base of every error a worker raises on purpose. ``kind`` names it in failure rows."""

    kind = "worker_error"
    retryable = False


class ModelLoadError(WorkerError):
    """The model, its adapter or its tokenizer cannot be loaded; the message says what is missing."""

    kind = "model_load"


class NotHereError(ModelLoadError):
    """The model cannot be loaded on this machine: a file, a package, the disk, the device. Another machine may do better."""

    kind = "model_load_here"


class UnfitDeviceError(NotHereError):
    """The worker has not the GPU that the model asks for: none that can be used, too few, or one with too little memory."""

    kind = "unfit_device"


class UnsupportedModelError(ModelLoadError):
    """The architecture has no block list that we recognise, or lacks a chat template."""

    kind = "unsupported_model"


class JobError(WorkerError):
    """A job cannot be run on this model (layer out of range, width mismatch, prompt too long)."""

    kind = "job"


class HungError(JobError):
    """Another program that a job runs took too long, and was ended."""

    kind = "hung"


class NonFiniteActivationError(WorkerError):
    """NaN or infinity in the residual stream or in the logits."""

    kind = "non_finite"


class OutOfMemoryError(WorkerError):
    """The device ran out of memory even at the smallest batch."""

    kind = "out_of_memory"
    retryable = True


class WorkerDiedError(WorkerError):
    """The worker process is gone (killed, out of memory); nothing it held survives."""

    kind = "worker_died"
    retryable = True


class DeviceLostError(WorkerDiedError):
    """The context of the worker's device is dead, and with it all that the process holds: it is to be ended. The one error that
    leaves ``actors.boundary.perform``."""


class MachineLostError(WorkerError):
    """The worker is gone with its whole machine (reclaimed, cut off): hardly the fault of what it was running."""

    kind = "machine_lost"
    retryable = True


def error_kinds() -> tuple[str, ...]:
    """Every kind that a worker gives on purpose; the kind of any other error is the name of its class."""
    classes: list[type[WorkerError]] = [WorkerError]
    for one in classes:
        classes += one.__subclasses__()
    return tuple(dict.fromkeys(one.kind for one in classes[1:]))
