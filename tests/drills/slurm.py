"""Batch jobs as Slurm runs them, with programs of their own in place of srun and scontrol."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "docs" / "examples" / "slurm"

PROGRAMS = {
    # Slurm ends a job that goes back to the queue.
    "scontrol": """[ "$1" = requeue ] && [ -z "$REFUSED" ] || exit 1
echo "$2" >> "$SLURM_SCRATCH/requeued"
kill -TERM "$PPID"
""",
    # Every node is this machine.
    "srun": """nodes=1
while [[ $1 == -* ]]; do
    [[ $1 != --nodes=* ]] || nodes=${1#*=}
    shift
done
for ((node = 0; node < nodes; node++)); do "$@" & done
wait
""",
}
"""Name -> the bash script that stands for a program of Slurm's."""


KILL_WAIT_S = 30
"""Slurm's time between TERM and KILL, by default."""


class Job:
    """A job: a batch script, its log, and how often it has gone back to the queue."""

    def __init__(self, script: str, scratch: Path, environment: Mapping[str, str]) -> None:
        """`script` is the text; Slurm copies it, so that it doesn't lie where it was submitted."""
        self._script, self._log = scratch / "slurm_script", scratch / "log"
        self._requeued = scratch / "requeued"
        self._script.write_text(script, encoding="utf-8")
        for name, text in PROGRAMS.items():
            program = scratch / "bin" / name
            program.parent.mkdir(exist_ok=True)
            program.write_text(f"#!/bin/bash\n{text}", encoding="utf-8")
            program.chmod(0o755)
        self._environment = os.environ | {
            "PATH": f"{scratch / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "SLURM_SCRATCH": str(scratch), "SLURM_SUBMIT_DIR": str(ROOT), "SLURM_JOB_ID": "4711",
            "SLURM_JOB_NAME": "run", "SLURM_JOB_NUM_NODES": "1", "SLURM_CPUS_ON_NODE": "1",
            "SLURMD_NODENAME": socket.gethostname(),
            "PYTHONUNBUFFERED": "1", "PYTHONPATH": "", "REFUSED": "",
        } | dict(environment)  # fmt: skip

    def start(self) -> "subprocess.Popen[bytes]":
        """One start of the job, in a session of its own; its output goes to the log."""
        restarts = {"SLURM_RESTART_COUNT": str(self.requeued())} if self.requeued() else {}
        with self._log.open("ab") as log:
            return subprocess.Popen(
                ["bash", self._script], cwd=self._script.parent, env=restarts | self._environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def end(self, batch: "subprocess.Popen[bytes]", timeout_s: float) -> int:
        """Waits for the batch shell and returns its exit code; what it has left in its session gets
        TERM then, and KILL after a while, as Slurm does.
        """
        code = batch.wait(timeout_s)
        left = [each for each in psutil.process_iter() if _session(each) == batch.pid]
        for each in left:
            _send(each, signal.SIGTERM)
        for each in psutil.wait_procs(left, timeout=KILL_WAIT_S)[1]:
            _send(each, signal.SIGKILL)
        return code

    def requeued(self) -> int:
        """How often the job has gone back to the queue."""
        path = self._requeued
        return path.read_text(encoding="utf-8").count("4711\n") if path.exists() else 0

    def log(self) -> str:
        """What the job has printed, at all of its starts."""
        return self._log.read_text(encoding="utf-8", errors="replace")


def _session(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return 0


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
