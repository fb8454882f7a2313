"""Calls one function of a benchmark's module in a process of its own; prints its result as JSON."""

import json
import sys
from importlib import import_module
from pathlib import Path

from tests.benchmarks.gpu.bench import Bench


def main() -> None:
    module, function, mini, work, given = sys.argv[1:]
    bench = Bench(mini=mini == "1", work=Path(work))
    print(json.dumps(getattr(import_module(module), function)(bench, *json.loads(given))))


if __name__ == "__main__":
    main()
