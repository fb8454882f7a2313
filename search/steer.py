"""Changes a search while it runs, from another terminal: `python -m search.steer RUN COMMAND`.

`stop TRIAL` ends a trial, `try NAME=VALUE …` has a configuration tried next, `budget +2h`, `budget
+20 trials` and `budget +1.5 gpu-hours` raise a limit (without + they set it), `concurrency N` lets
at most so many trials run at once, and `end` ends the search in order. The search writes down what
it does, so that a resumed one goes on alike.
"""

import sys

from search.session.steering.command import main, parser

__all__ = ["main", "parser"]

if __name__ == "__main__":
    sys.exit(main())
