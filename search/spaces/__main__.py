"""Starts `python -m search.spaces`. The command itself stands in `search/monitoring/`, above this
room, which imports nothing from there.
"""

from pathlib import Path
from runpy import run_path

if __name__ == "__main__":
    command = Path(__file__).parents[1] / "monitoring" / "plans" / "manage_spaces.py"
    run_path(str(command), run_name="__main__")
