"""Sums up runs for the terminal and for programs: `results.runs` and `results.show`."""
