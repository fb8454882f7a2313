"""torch's compiler is imported only where something is compiled."""

import subprocess
import sys

from search.preflight import ROOT

TRAINS = """
import sys, torch
from trainables.config import TrialConfig
from trainables.profiling.training_steps import random_training

for optimizer in ("sgd", "adamw"):
    config = TrialConfig(network="resnet10", image_size=32, batch_size=4, epochs=2, ema=0.9,
                         precision="float32", policy="trivial", optimizer=optimizer)
    steps, batch = random_training(config, torch.device("cpu"), classes=5, captured=False)
    steps.take(*batch)
    steps.optimizer.load_state_dict(steps.optimizer.state_dict())
    steps.optimizer.zero_grad()
three = [torch.compiler.disable(abs), torch.compiler.disable()(abs), torch._dynamo.disable(fn=abs)]
print(three == [abs] * 3, "torch._dynamo.eval_frame" in sys.modules)
"""
COMPILES = """
compiled = torch.compile(lambda x: 2 * x + 1, backend="eager")
print(compiled(torch.ones(1)).item(), torch._dynamo is sys.modules["torch._dynamo"])
from torch._dynamo.utils import is_compile_supported
from torchvision.ops import roi_align
print(sys.modules[roi_align.__module__].is_compile_supported("cpu") is is_compile_supported("cpu"))
"""
IMPORTED_BEFORE = """
import sys, torch._dynamo
before = torch._dynamo
import trainables.torchvision_import
print(torch._dynamo is before is sys.modules["torch._dynamo"])
"""


def _run(code: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", check=True
    )
    return done.stdout.splitlines()


def test_a_training_does_without_the_compiler_and_what_compiles_still_finds_it() -> None:
    assert _run(TRAINS + COMPILES) == ["True False", "3.0 True", "True"]


def test_a_compiler_that_is_there_stays() -> None:
    assert _run(IMPORTED_BEFORE) == ["True"]
