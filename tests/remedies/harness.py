"""Raises errors on purpose, does what their sentences advise, and sees them gone.

A case is a generator function. Its parameters are fixtures of pytest, as a test's. It builds an
input at fault and yields an attempt, which is a `Command` or any function without arguments. The
harness runs the attempt, which must fail at the places that the case names, and sends the `Refusal`
back. The rest of the function does what the sentence advises, with values that it reads from the
sentence, and returns the attempt that must succeed now; without one, the same attempt runs again.

    @case("datasets/registry.py::find_dataset", "is no dataset")
    def misspelt_dataset(tmp_path: Path) -> Steps:
        refusal = yield Command("datasets.prepare", "dmeo", "--data", tmp_path)
        return refusal.attempt.replace("dmeo", refusal.find(r"did you mean (\\w+)\\?"))
"""

import importlib
import io
import re
import shlex
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from typing import Any

from tests.remedies.places import FAMILY, ROOT, Place

Attempt = Callable[[], object]


class CommandError(Exception):
    """Reports that a command did its work not or not wholly; it holds what stderr got."""


@dataclass(frozen=True)
class Command:
    """A command line, which runs in this process as a user runs it in a shell.

    module: what follows `python -m`.
    words: the words of the command line; each is converted to text.
    """

    module: str
    words: tuple[str, ...]

    def __init__(self, module: str, *words: object) -> None:
        object.__setattr__(self, "module", module)
        object.__setattr__(self, "words", tuple(map(str, words)))

    def __call__(self) -> None:
        """Runs the command. Raises `CommandError` if it exits with another code than 0 or prints
        an error, and `AssertionError` for a traceback.
        """
        main = importlib.import_module(self.module).main
        stderr = io.StringIO()
        with redirect_stderr(stderr), redirect_stdout(io.StringIO()):
            try:
                code = main(list(self.words))
            except SystemExit as end:
                code = end.code
            except Exception as error:
                raise AssertionError(f"{self} must end in a sentence, not a traceback.") from error
        if code or re.search("^error: ", stderr.getvalue(), re.MULTILINE):
            raise CommandError(stderr.getvalue())

    def replace(self, old: object, new: object) -> "Command":
        """Returns the command with one word replaced."""
        assert str(old) in self.words
        return Command(self.module, *(str(new) if w == str(old) else w for w in self.words))

    def add(self, *words: object) -> "Command":
        """Returns the command with more words at its end."""
        return Command(self.module, *self.words, *words)

    def without(self, option: str, values: int = 1) -> "Command":
        """Returns the command without an option and its values."""
        at = self.words.index(option)
        return Command(self.module, *self.words[:at], *self.words[at + 1 + values :])


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A refusal is what a failed attempt brought.

    attempt: what failed.
    text: all sentences, as a user reads them.
    origins: for each error of ours that was made meanwhile, its sentences and the lines of our
    files that were on the stack.
    """

    attempt: Any
    text: str
    origins: list[tuple[list[str], set[tuple[str, int]]]] = field(repr=False)

    def find(self, pattern: str) -> str:
        """Returns what the first group of a pattern matches in the text, which must match."""
        found = re.search(pattern, self.text, re.DOTALL)
        assert found, f"{pattern!r} isn't in: {self.text}"
        return found[1]

    def options(self, option: str) -> tuple[str, ...]:
        """Returns an option that the text advises, with its value, as a shell would read them."""
        advised = self.find(rf"({re.escape(option)}(?: (?:'[^']*'|[^\s;,`]+))*)")
        return tuple(word.rstrip(".:") for word in shlex.split(advised)[:2])

    def command(self, number: int = 0, **stand_ins: object) -> Command:
        """Returns a command that the text prints.

        `…` stands for all words of the attempt, which must be a command then.

        number: which one of the printed commands, from 0.
        stand_ins: the values for words in capitals, such as NAME.
        """
        printed = re.findall(
            r"`python -m ([^`]*)`|python -m (.*?)(?=[.,;)]?(?: or |\s*$|, or |; ))",
            self.text,
            re.MULTILINE,
        )
        module, *words = shlex.split(next(filter(None, printed[number])))
        filled: list[object] = []
        for word in words:
            filled += self.attempt.words if word == "…" else [stand_ins.get(word, word)]
        return Command(module, *filled)

    def meets(self, place: Place) -> bool:
        """Returns whether the error arose at a place: its text is there, and its lines ran."""
        if place.text is not None and not place.text.search(self.text):
            return False
        lines = {(place.file, n) for n in range(place.lines[0], place.lines[1] + 1)}
        seen = (f for sentences, f in self.origins if any(s in self.text for s in sentences))
        return not place.constructs or any(frames & lines for frames in seen)


Steps = Generator[Attempt, Refusal, Attempt | None]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A case is one error with its remedy.

    name: the name of its function, and of its test.
    wanted: for each place, its module and function, and words that its text contains.
    steps: the generator function.
    beyond: why a test can't do what the sentence advises; empty where it can.
    """

    name: str
    wanted: tuple[tuple[str, str], ...]
    steps: Callable[..., Steps]
    beyond: str = ""

    def places(self, known: list[Place]) -> list[Place]:
        """Returns the places of this case. Raises `AssertionError` for none or several."""
        return [self._place(where, words, known) for where, words in self.wanted]

    def _place(self, where: str, words: str, known: list[Place]) -> Place:
        here = [place for place in known if place.where == where]
        found = [p for p in here if p.words == words] or [p for p in here if words in p.words]
        assert len(found) == 1, (
            f"{self.name}: {where} must have one place with {words!r}, but has {len(found)} of "
            f"{[place.words for place in here]}; name one of these."
        )
        return found[0]


CASES: list[Case] = []


def case(*where_and_words: str, beyond: str = "") -> Callable[[Callable[..., Steps]], Any]:
    """Registers a generator function as a case of one place or several.

    where_and_words: module and function, then words of the text, for each place. Where there are
    several, the attempt meets all of them.
    beyond: why a test can't do what the sentence advises.
    """
    pairs = tuple(zip(where_and_words[::2], where_and_words[1::2], strict=True))

    def register(steps: Callable[..., Steps]) -> Callable[..., Steps]:
        CASES.append(Case(name=steps.__name__, wanted=pairs, steps=steps, beyond=beyond))
        return steps

    return register


def attempt_once(attempt: Attempt) -> Refusal | None:
    """Runs an attempt; returns what it failed with, or `None` where it succeeded."""
    with _recording() as origins:
        try:
            attempt()
        except AssertionError:
            raise
        except Exception as error:
            sentences = getattr(error, "errors", None) or [str(error)]
            return Refusal(attempt=attempt, text="\n".join(sentences), origins=origins)
    return None


@contextmanager
def _recording() -> Iterator[list[tuple[list[str], set[tuple[str, int]]]]]:
    """Records each error of `FAMILY` that is made in this process, with the stack of our lines."""
    origins: list[tuple[list[str], set[tuple[str, int]]]] = []
    made = {kind: kind.__init__ for kind in FAMILY}

    def recorder(kind: type) -> Any:
        def init(self: Any, *arguments: Any, **more: Any) -> None:
            made[kind](self, *arguments, **more)
            origins.append((self.errors, _our_lines()))

        return init

    try:
        for kind in FAMILY:
            kind.__init__ = recorder(kind)  # type: ignore[method-assign]
        yield origins
    finally:
        for kind, init in made.items():
            kind.__init__ = init  # type: ignore[method-assign]


def _our_lines() -> set[tuple[str, int]]:
    """Returns file and line of each frame of our modules on the stack."""
    lines = set()
    frame = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(f"{ROOT}/"):
            lines.add((file.removeprefix(f"{ROOT}/"), frame.f_lineno))
        frame = frame.f_back  # type: ignore[assignment]
    return lines


def run_case(each: Case, places: list[Place], fixtures: dict[str, Any]) -> None:
    """Runs a case: the error, the remedy, and the same again without an error."""
    steps = each.steps(**fixtures)
    refusal = attempt_once(next(steps))
    assert refusal, f"{each.name} must raise its error, but nothing was raised."
    for place in places:
        assert refusal.meets(place), f"{place} isn't where this comes from:\n{refusal.text}"
    check_sentences(refusal.text)
    try:
        steps.send(refusal)
    except StopIteration as end:
        if each.beyond:
            return
        again = end.value or refusal.attempt
    else:
        raise AssertionError(f"{each.name} must yield one attempt, but yields another.")
    left = attempt_once(again)
    assert left is None, f"The remedy of\n  {refusal.text}\nleaves\n  {left and left.text}"


def check_sentences(text: str) -> None:
    """Checks that each sentence holds something behind its rule: a value, a remedy, or both."""
    lines = [line for line in text.splitlines() if line.startswith("error: ")] or [text]
    for line in lines:
        held = re.search(r"[;:,] |`|more faults of these kinds", line.removeprefix("error: "))
        assert held, f"no remedy: {line}"
