"""Measures how many images trials train together on one GPU, each in a process of its own.

The functions run in the probe's process, or on a node of a cluster.
"""

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from common.signals import follow_parent, shield_children
from common.text import last_lines
from search.hardware.packing import (
    JoinError,
    NoMemoryError,
    Packing,
    find_packing,
    serves_mps,
)
from search.hardware.training_speed import COMPILE_S
from trainables.config import TrialConfig

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

SECONDS = 2.0
"""Each number of trials trains for at least so long."""

PATIENCE_S = 180.0
"""A trial that takes no step for so long is given up, and one that compiles `COMPILE_S` later."""

ENDING_S = 5.0
"""All processes together have this time to end by themselves, with the GPU at rest: MPS serves one
that is killed in the middle of a kernel together with its neighbours.
"""

JOIN, END = "join", "end"
"""These messages tell a training process to train from now on, and to end."""

_FIRST_STEPS = 8
"""A trial takes this many steps before it joins the others; it has captured one by then."""

_WARM_UP = 3
"""A trial has joined the others when it has taken this many steps beside them."""


def measure_packing(
    config: TrialConfig, threads: int, most: int, *, captured: bool = False
) -> Packing:
    """Returns how fast up to `most` trials of `config` train together on the first GPU, or on the
    CPU where there is none, with so many threads each. Every trial has a process of its own.

    captured: whether they take a step as one CUDA graph.
    """
    from trainables.models.setup import default_device
    from trainables.training.memory import release_gpu_memory

    release_gpu_memory(default_device())  # of what this process has measured before
    train = partial(_train, captured=captured)
    with TrainingProcesses(config, threads, most, train) as trainings:
        return find_packing(trainings, most, mps=serves_mps())


@dataclass(slots=True)
class _Training:
    """Holds a process that trains, the number of its images so far, and when its last step ended,
    in seconds of the machine's monotonic clock.
    """

    process: BaseProcess
    connection: "Connection[Any, Any]"
    images: int = 0
    at: float = 0.0

    def is_ready(self) -> bool:
        """Returns whether the process has sent anything."""
        return self.at > 0

    def update(self) -> None:
        """Reads the steps that have ended. Raises `JoinError` where the process has ended."""
        try:
            while self.connection.poll():
                message = self.connection.recv()
                if isinstance(message, JoinError):
                    raise message
                self.images, self.at = message
        except (EOFError, OSError):
            self.process.join()
            why = f"it ended with exit code {self.process.exitcode}"
            # This is how the system ends a process for want of the host's memory.
            killed = self.process.exitcode == -signal.SIGKILL
            raise (NoMemoryError if killed else JoinError)(why) from None


class TrainingProcesses:
    """Trains one configuration in up to `most` processes that join one after the other. They start
    together, because a process takes ten seconds to its first steps, and wait until they join.
    Leaving the context ends them.

    train: runs in each process with the configuration, the number of threads and a connection.
        When it is ready it sends (0, the present time) and waits for the message `JOIN`; then it
        sends (images so far, the present time) after each step. It ends when it gets `END`, and
        may end before by sending a `JoinError`.
    """

    def __init__(
        self,
        config: TrialConfig,
        threads: int,
        most: int,
        train: "Callable[[TrialConfig, int, Connection[Any, Any]], None]",
    ) -> None:
        self._config, self._threads, self._most, self._train = config, threads, most, train
        self._waiting: list[_Training] = []
        self._trainings: list[_Training] = []
        self._failed: list[_Training] = []
        self._why = JoinError("no more were asked for")

    def __enter__(self) -> Self:
        start = get_context("spawn")
        with shield_children():
            for _ in range(self._most):
                here, there = start.Pipe()
                process = start.Process(
                    target=self._train, args=(self._config, self._threads, there)
                )
                process.start()
                there.close()
                self._waiting.append(_Training(process, here))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        every = [*self._trainings, *self._waiting, *self._failed]
        for each in every:
            with suppress(OSError):  # it has ended
                each.connection.send(END)
        until = time.monotonic() + ENDING_S
        for each in every:
            each.process.join(max(0.0, until - time.monotonic()))
            each.process.kill()  # nothing where it has ended
            each.process.join()

    def join(self) -> None:
        """Lets one more process train, and returns when it has taken its first steps. The first one
        waits for all processes, because those that start take time from those that train.
        """
        if not self._trainings:
            self._wait_for_ready()
        if not self._waiting:
            raise self._why
        new = self._waiting.pop(0)
        self._trainings.append(new)
        with suppress(OSError):  # it has ended, and has said why
            new.connection.send(JOIN)
        self._wait(lambda: new.images >= _WARM_UP * self._config.batch_size)

    def _wait_for_ready(self) -> None:
        """Waits until all processes are ready, and gives up the first one that fails and those
        behind it.
        """
        compile_s = COMPILE_S if self._config.compile else 0.0
        for place, each in enumerate(self._waiting):
            try:
                self._wait(each.is_ready, PATIENCE_S + compile_s, [each])
            except JoinError as error:
                self._why = error
                self._failed, self._waiting = self._waiting[place:], self._waiting[:place]
                return

    def images_per_s(self) -> float:
        """Returns the images per second of all processes, each from one ended step to another."""
        before = [(each.images, each.at) for each in self._trainings]
        until = time.monotonic() + SECONDS
        self._wait(
            lambda: (
                time.monotonic() >= until
                and all(each.at > at for each, (_, at) in zip(self._trainings, before, strict=True))
            )
        )
        return sum(
            (each.images - images) / (each.at - at)
            for each, (images, at) in zip(self._trainings, before, strict=True)
        )

    def _wait(
        self,
        done: Callable[[], bool],
        patience_s: float = PATIENCE_S,
        watched: "Sequence[_Training] | None" = None,
    ) -> None:
        """Waits until `done` returns true. Raises `JoinError` where a process of `watched`, by
        default of those that train, has ended, and after `patience_s` seconds.
        """
        until = time.monotonic() + patience_s
        while not done():
            if time.monotonic() > until:
                raise JoinError(f"no step in {patience_s:.0f} s")
            time.sleep(0.01)
            for each in self._trainings if watched is None else watched:
                each.update()


def _train(
    config: TrialConfig, threads: int, connection: "Connection[Any, Any]", *, captured: bool
) -> None:
    """Takes its first steps, trains from `JOIN` until `END`, and sends the images and the time of
    each ended step.
    """
    follow_parent()
    from trainables.training.memory import out_of_memory

    try:
        from trainables.models.setup import default_device
        from trainables.profiling.training_steps import train_steps
        from trainables.training.process import prepare_process

        prepare_process(threads)
        images = 0
        with closing(train_steps(config, default_device(), captured=captured)) as steps:
            for _ in range(_FIRST_STEPS):
                next(steps)
            connection.send((0, time.monotonic()))
            going_on = connection.recv() == JOIN
            while going_on:
                images += next(steps)
                connection.send((images, time.monotonic()))
                going_on = not connection.poll()
    except Exception as error:  # whatever torch may raise: the reason is shown
        kind = NoMemoryError if out_of_memory(error) else JoinError
        connection.send(kind(last_lines(f"{type(error).__name__}: {error}")))
    os._exit(0)  # an orderly exit would take torch a second or two
