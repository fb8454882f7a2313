"""What a process sets up: in one of its own, since the allocator can't be set back."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

MEASURE = """
import ctypes, resource, sys
import torch
from trainables.training.process import prepare_process

if sys.argv[1] == "prepared":
    prepare_process(1)

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

for _ in range(int(sys.argv[2])):
    torch.ones(16_000_000)
before = faults()
for _ in range(4):
    torch.ones(16_000_000)
print(torch.get_num_threads(), faults() - before)
"""


def measured(how: str, tensors_before: int) -> tuple[int, int]:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, how, str(tensors_before)],
        cwd=ROOT, timeout=60, capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip
    threads, faults = done.stdout.split()
    return int(threads), int(faults)


def test_freed_memory_is_kept_and_threads_are_set() -> None:
    """4 tensors of 64 MB are 62,500 pages: all of them anew, or those of tensors before them.

    The heap may take some tensors to reach its peak (seven were seen), so twenty come first.
    """
    threads, faults = measured("prepared", 20)
    assert threads == 1
    assert faults < measured("plain", 1)[1] / 10
