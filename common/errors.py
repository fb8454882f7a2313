"""Defines errors that a user can mend: each sentence states the rule, the value and the remedy."""

from collections.abc import Sequence
from typing import Self


class UserError(Exception):
    """Reports faults that a user can mend. `errors` holds one sentence for each of them.

    All errors of this project that end in a sentence on the terminal are of this family.
    """

    def __init__(self, errors: str | Sequence[str]) -> None:
        self.errors = [errors] if isinstance(errors, str) else list(errors)
        super().__init__(" ".join(self.errors))

    def __reduce__(self) -> tuple[type[Self], tuple[list[str]]]:
        return type(self), (self.errors,)


class SearchError(UserError):
    """Reports that the search can't start or go on."""


class RecordError(UserError, ValueError):
    """Reports a record on disk that can't be read. The message names the file or field and the
    remedy.
    """
