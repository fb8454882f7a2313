"""Collects what is wrong with a space, one sentence for each rule that it breaks."""

import re
from collections.abc import Iterable, Mapping
from typing import Any


class Mistakes:
    """Holds the first sentence about each broken rule, with its remedy.

    Thousands of configurations may break one rule, each with values of its own in the sentence.
    """

    def __init__(self) -> None:
        self._by_rule: dict[str, str] = {}

    def add(self, sentences: Iterable[str], params: Mapping[str, Any] | None = None) -> None:
        """Adds the sentences about rules that aren't among these yet. Where `params` are given,
        they are the parameters of the configuration that breaks the rule, and the sentences lack
        the remedy.
        """
        for sentence in sentences:
            rule = _rule_of(sentence)
            if rule not in self._by_rule:
                self._by_rule[rule] = sentence if params is None else _beside(sentence, params)

    def __bool__(self) -> bool:
        """Returns whether there is any."""
        return bool(self._by_rule)

    @property
    def sentences(self) -> list[str]:
        """Returns one sentence for each broken rule, in the order in which they were met."""
        return list(self._by_rule.values())


def _beside(sentence: str, params: Mapping[str, Any]) -> str:
    """Returns a broken rule with the parameters of the configuration that breaks it."""
    values = ", ".join(f"{name}={value}" for name, value in params.items())
    return (
        f"{sentence.removesuffix('.')}: it is so with {values}; have `suggest` ask for and return "
        "only values that go together."
    )


_PLACE = re.compile(r"^(With network=\S+[,:] )?(At the ends of the space's ranges )?")
_FAILED = re.compile(r"failed \((\w+): .*, (line \d+ of .*?)\)", re.DOTALL)
_NUMBER = re.compile(r"(?<![\w.])(?<!line )-?\d[\d,.]*(e[+-]?\d+)?(?!\w)")


def _rule_of(sentence: str) -> str:
    """Returns a text that is the same for all sentences about one broken rule: without the place
    where it is broken and without the value that breaks it. An exception in the space's own code is
    known by its type and its line.
    """
    rule, got, _ = _PLACE.sub("", sentence).partition(", but got ")
    if got:
        return rule
    if failed := _FAILED.search(rule):
        return " ".join(failed.groups())
    return _NUMBER.sub("…", rule)
