"""Serves the page of a run, which shows a running search as it goes on."""
