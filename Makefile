# Every target sets the project up first; the second time that costs nothing.

PYTHON ?= python3
READY := .venv/ready
BIN := .venv/bin
# pyproject.toml turns the warnings that this makes Python give into errors.
PYTEST := PYTHONWARNDEFAULTENCODING=1 $(BIN)/python -m pytest
# The pages as a site, in seconds; a link that leads nowhere is an error. The variable silences the
# theme's advertisement of MkDocs' successors, of which mkdocs.yml speaks.
SITE := NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
BENCHMARKS := $(wildcard tests/benchmarks/bench_*.py)
# One round of each takes under half an hour on two cores; what is published takes three.
BENCH_ARGS ?= --rounds 1
# For example --rounds 3, or --beside with the folder of another version.
BENCH_GPU_ARGS ?=

.PHONY: help setup search test test-slow drills check house format docs bench bench-gpu constraints clean

help:
	@echo 'make search       set up, then run a whole search on the embedded demo dataset'
	@echo 'make test         set up, then run the tests (make test-slow: those that take minutes)'
	@echo 'make drills       set up, then kill, starve, cut off and race whole searches: 45 minutes'
	@echo 'make check        set up, then formatting, lint, types, imports, sizes, the site, known vulnerabilities'
	@echo 'make house        set up, then show rooms, arrows and sizes beside their bounds'
	@echo 'make format       set up, then rewrite the files as make check wants them'
	@echo 'make docs         set up, then write reference and completion in docs/ anew, and the site, build/site/index.html'
	@echo 'make bench        set up, then run every benchmark (TINY_IMAGENET_ZIP=FILE: on real images)'
	@echo 'make bench-gpu    set up, then measure on the GPU of this machine: half an hour, in four parts'
	@echo 'make setup        system packages, and .venv with the versions in constraints.txt'
	@echo 'make constraints  resolve the newest versions and write constraints.txt anew'
	@echo 'make clean        remove .venv and caches; never data/ or runs/'

setup: $(READY)

$(READY): pyproject.toml constraints.txt .ci/setup
	@PYTHON='$(PYTHON)' .ci/setup
	@touch $@

search: $(READY)
	$(BIN)/python -m search.run --space demo --trials 24

# A file's tests share what is costly to make, so that a file stays in one process. The order of
# files is that of tests/conftest.py, the longest first, and not by their number of tests.
test: $(READY)
	$(PYTEST) -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-slow: $(READY)
	$(PYTEST) -m slow

drills: $(READY)
	$(PYTEST) -m drill -rPs tests/drills

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m tests.house.measure_house --check
	$(SITE)
	$(BIN)/python .ci/audit.py

house: $(READY)
	$(BIN)/python -m tests.house.measure_house

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY)
	$(BIN)/python -m tools.make_reference
	$(BIN)/python -m tools.make_completion
	$(SITE)

bench: $(READY)
	@test -n '$(BENCHMARKS)' || { echo 'error: tests/benchmarks holds no bench_*.py.' >&2; exit 2; }
	@set -e; for benchmark in $(BENCHMARKS:.py=); do \
		echo "$$benchmark"; $(BIN)/python -m "$$(echo "$$benchmark" | tr / .)" $(BENCH_ARGS); \
	done
	$(BIN)/python -m results.published.make_performance

bench-gpu: $(READY)
	@set -e; for part in speed correct packing searches; do \
		$(BIN)/python -m tests.benchmarks.gpu.bench_gpu $$part $(BENCH_GPU_ARGS); \
	done
	$(BIN)/python -m results.published.make_gpu

constraints:
	$(PYTHON) -m venv --clear build/newest
	build/newest/bin/python -m pip install --use-pep517 --editable '.[dev]'
	build/newest/bin/python -m pip freeze --exclude-editable > build/constraints.txt
	{ echo '# The versions that were tested together, written by `make constraints`.'; \
		cat build/constraints.txt; } > constraints.txt

clean:
	rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
