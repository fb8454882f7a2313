"""Random configurations, of which one in three goes on from its first epoch to its last.

The smallest rival, in any Python: the tests of the protocol are made with it.
"""

import random
from typing import Any

from lines import Training, serve


class Random:
    def __init__(self, task: dict[str, Any]) -> None:
        self._task, self._rng = task, random.Random(task["seed"])
        self._seen: list[tuple[float, int, dict[str, Any]]] = []
        self._asked = 0

    def ask(self) -> Training | None:
        if len(self._seen) == 3:
            _, key, params = min(self._seen)
            self._seen.clear()
            return None, key, params, self._task["epochs"]
        self._asked += 1
        params = {name: self._value(name, each) for name, each in self._task["space"].items()}
        return (self._asked, params), self._asked, params, 1

    def tell(self, job: Any, loss: float) -> None:
        if job is not None:
            self._seen.append((loss, *job))

    def _value(self, name: str, each: dict[str, Any]) -> Any:
        if self._task["prior"]:
            return self._task["prior"][name]
        if "choices" in each:
            return self._rng.choice(each["choices"])
        draw = self._rng.randint if each["whole"] else self._rng.uniform
        return draw(each["low"], each["high"])


if __name__ == "__main__":
    serve(Random)
