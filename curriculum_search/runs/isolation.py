"""Keeps what one job does to its process from the next one: a run is the same in a fresh process and in one that has
trained a hundred others."""

import contextlib
import ctypes
import functools
import gc
import logging
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

#: Settings of torch and numpy: how each is read, and how it is set to what was read.
_SETTINGS: tuple[tuple[Callable[[], Any], Callable[[Any], Any]], ...] = (
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_default_device, torch.set_default_device),
    (torch.get_num_threads, torch.set_num_threads),
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (
        lambda: (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()),
        lambda both: torch.use_deterministic_algorithms(both[0], warn_only=both[1]),
    ),
    (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    (np.geterr, lambda errors: np.seterr(**errors)),
)

#: Those that are attributes.
_FLAGS = (
    *((torch.backends.cudnn, name) for name in ("enabled", "benchmark", "deterministic", "allow_tf32")),
    (torch.backends.cuda.matmul, "allow_tf32"),
    (torch.backends.cuda.matmul, "allow_fp16_reduced_precision_reduction"),
    (torch.backends.cuda.matmul, "allow_bf16_reduced_precision_reduction"),
    (torch.backends.mkldnn, "enabled"),
)


@contextmanager
def isolated() -> Iterator[None]:
    """Put back, after the block, what code within it has changed of its process, and free what it has left.

    Put back are random states, torch's and numpy's settings, the environment, the current folder, the path of imports,
    loggers with their handlers, and filters of warnings.  Modules that were imported stay, but for a user's own
    training code (`trainers.function`); so do threads and child processes.
    """
    _keep_what_is_there()
    restore = [take() for take in (_random_states, _settings, _loggers, _process)]
    with warnings.catch_warnings():
        try:
            yield
        finally:
            for each in restore:
                each()
            _free()


def _random_states() -> Callable[[], None]:
    own, numpys, torchs = random.getstate(), np.random.get_state(), torch.get_rng_state()
    gpus = torch.cuda.get_rng_state_all() if _has_gpu() else []

    def restore() -> None:
        random.setstate(own)
        np.random.set_state(numpys)
        torch.set_rng_state(torchs)
        if gpus:
            torch.cuda.set_rng_state_all(gpus)

    return restore


def _settings() -> Callable[[], None]:
    values = [get() for get, _ in _SETTINGS]
    flags = [(holder, name, getattr(holder, name)) for holder, name in _FLAGS]

    def restore() -> None:
        for (get, put), value in zip(_SETTINGS, values, strict=True):
            if get() != value:  # To put one that is there already can cost seconds, for what it imports.
                put(value)
        for holder, name, value in flags:
            if getattr(holder, name) != value:
                setattr(holder, name, value)

    return restore


def _loggers() -> Callable[[], None]:
    def all_loggers() -> list[logging.Logger]:
        named = (each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger))
        return [logging.root, *named]

    def state(logger: logging.Logger) -> tuple[Any, ...]:
        return logger.level, list(logger.handlers), list(logger.filters), logger.propagate, logger.disabled

    before = {logger.name: state(logger) for logger in all_loggers()}
    new = state(logging.Logger("new"))

    def restore() -> None:
        for logger in all_loggers():
            level, handlers, filters, propagate, disabled = before.get(logger.name, new)
            if logger.level != level:
                logger.setLevel(level)
            logger.handlers[:], logger.filters[:] = handlers, filters
            logger.propagate, logger.disabled = propagate, disabled

    return restore


def _process() -> Callable[[], None]:
    environment, folder, path = dict(os.environ), os.getcwd(), list(sys.path)

    def restore() -> None:
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        with contextlib.suppress(OSError):  # it is gone
            os.chdir(folder)
        sys.path[:] = path

    return restore


@functools.cache
def _keep_what_is_there() -> None:
    """Have the search for garbage pass over what was there before the first job: modules, above all."""
    gc.freeze()


def _free() -> None:
    """Give memory back, that of compiled networks and of the GPU included.

    glibc keeps what is freed, and a process that trains run after run grows by megabytes.
    """
    if "torch._dynamo" in sys.modules:  # which compiles a function only so many times
        sys.modules["torch._dynamo"].reset()
    gc.collect()
    if _has_gpu():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(AttributeError, OSError, TypeError):  # where there is no glibc
        ctypes.CDLL(None).malloc_trim(0)


def _has_gpu() -> bool:
    """Whether this process has begun to use one."""
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
