"""Objects whose unpickling runs code."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Evil:
    """Calls a function when it is unpickled; by default, it makes a folder."""

    def __init__(self, argument: str | Path, call: Callable[..., Any] = os.mkdir) -> None:
        self.argument = str(argument)
        self.call = call

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return self.call, (self.argument,)
