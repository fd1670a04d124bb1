# `make run` starts the broker, `make test` runs the tests, `make bench` compares; each does all the set-up first.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check
SOURCES := setup.py pyproject.toml $(wildcard router_ext/*.pyx router_ext/*.pxd)

.PHONY: run test test-kill test-plugins soak lint bench clean

run: $(VENV)/.installed
	exec $(BIN)/gunicorn wsgi:app

# Two files of tests at a time; those that weigh memory and bandwidth have the machine for themselves afterwards.
test: $(VENV)/.installed-test
	status=0; \
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --ignore=tests/load --ignore=tests/soak || status=1; \
	$(BIN)/python -m pytest tests/load tests/soak || status=1; \
	exit $$status

# kill -9 of the whole broker, 50 times under load; the ordinary tests do it three times.
test-kill: $(VENV)/.installed-test
	DURABLE_ROUNDS=50 $(BIN)/python -m pytest tests/durable/test_kill.py

# Half an hour of mixed load with faults; the ordinary tests run it for 20 seconds.
SOAK_SECONDS ?= 1800
soak: $(VENV)/.installed-test
	SOAK_SECONDS=$(SOAK_SECONDS) $(BIN)/python -m pytest -s tests/soak

# Each plugin loaded, unloaded and reloaded a hundred times; the ordinary tests do it twenty times.
test-plugins: $(VENV)/.installed-test
	PLUGIN_ROUNDS=100 $(BIN)/python -m pytest tests/plugins -k given_back

lint: $(VENV)/.installed $(VENV)/.installed-lint
	PATH="$(CURDIR)/$(BIN):$$PATH"; ruff check . && mypy && cython-lint router_ext

# Peers that are missing are installed where that can be done. BENCH="--quick", BENCH="one qos1 --repeat 3", …
bench: $(VENV)/.installed-bench
	$(BIN)/python benchmarks/compare.py --install $(BENCH)

$(VENV)/.made:
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip setuptools wheel 'cython>=3.3,<4'
	touch $@

# Editable, so that a changed Python file needs nothing; a changed Cython source builds again.
$(VENV)/.installed: $(SOURCES) | $(VENV)/.made
	$(PIP) --no-build-isolation --editable .
	touch $@

$(VENV)/.installed-%: $(VENV)/.installed
	$(PIP) --group $*
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info router_ext/*.c router_ext/*.so router_ext/*.html
