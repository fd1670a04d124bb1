# `make run` starts the broker, `make test` runs the tests; both do all the set-up first.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
SOURCES := setup.py pyproject.toml $(wildcard router_ext/*.pyx router_ext/*.pxd)

.PHONY: run test lint clean

run: $(VENV)/.installed
	exec $(BIN)/gunicorn wsgi:app

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# Editable, so that a changed Python file needs nothing; a changed Cython source builds again.
$(VENV)/.installed: $(SOURCES) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check setuptools wheel 'cython>=3.3,<4'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --editable .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group test
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info router_ext/*.c router_ext/*.so router_ext/*.html
