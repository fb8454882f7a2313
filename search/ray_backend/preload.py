"""Imports what Ray's workers need before their first trial comes."""

from contextlib import suppress

# Whatever fails here fails again in the trial, which then tells why; here it would end the worker.
with suppress(Exception):
    import search.ray_backend.worker  # noqa: F401
    import trainables.train  # noqa: F401
