"""Compares what the system grants a process, such as open files, with what Ray needs to start."""

import os
import resource
from contextlib import suppress

import psutil

FILES = 100
FILES_EACH = 4
"""A process of Ray opens up to 67 files with one worker and 74 with four (measured on two cores,
ray 2.60.0): it gets `FILES`, and `FILES_EACH` more for each trial at once.
"""

THREADS = 400
THREADS_EACH = 25
"""Ray has 410 threads with one worker and 480 with four (measured on two cores, ray 2.60.0): it
gets `THREADS`, and `THREADS_EACH` more for each trial at once.
"""


def find_limit_errors(trials: int) -> list[str]:
    """Returns one sentence for each limit of this process that is too low for Ray with so many
    trials at once.
    """
    errors = []
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # Ray raises the soft limit itself
    needed = FILES + FILES_EACH * trials
    if hard != resource.RLIM_INFINITY and hard < needed:
        errors.append(
            f"The limit of open files must be ≥ {needed} for Ray, but `ulimit -Hn` is {hard}; "
            f"{_remedy('nofile', needed)}"
        )
    soft, needed = resource.getrlimit(resource.RLIMIT_NPROC)[0], THREADS + THREADS_EACH * trials
    # The system exempts root from this limit, which is one of all processes of a user together.
    if os.getuid() and soft != resource.RLIM_INFINITY and soft < needed + (used := count_threads()):
        errors.append(
            f"The limit of processes and threads must be ≥ {needed + used} for Ray, {used} of them "
            f"being in use, but `ulimit -u` is {soft}; {_remedy('nproc', needed + used)}"
        )
    return errors


def _remedy(name: str, needed: int) -> str:
    return (
        f"raise it, as `docker run --ulimit {name}={2 * needed}` does, or "
        "/etc/security/limits.conf where you log in."
    )


def count_threads() -> int:
    """Returns the number of threads of this user's processes."""
    count = 0
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.uids().real == os.getuid():
                count += process.num_threads()
    return count
