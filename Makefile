# `make run` starts the broker, `make test` runs the tests, `make bench` compares; each does all the set-up first.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check
SOURCES := setup.py pyproject.toml $(wildcard router_ext/*/*.pyx router_ext/*/*.pxd)

# Hundreds of brokers start in the tests: without the bytecode of the modules each start takes a second longer.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test test-dashboard screens test-backends wheel dashboard dashboard-dev test-kill test-upgrade test-churn test-plugins soak sanitize fuzz lint docs bench clean build/sanitized

# The dashboard is built beside the extension; where it cannot be, the broker starts all the same.
BESIDE = @+$(MAKE) --silent --no-print-directory --jobs=2 DASHBOARD_FLAGS=--optional

run:
	$(BESIDE) $(VENV)/.installed dashboard
	@echo "Starting the broker: $(BIN)/gunicorn wsgi:app"
	@exec $(BIN)/gunicorn wsgi:app

# Three files of tests at a time, since half of their time is waiting; those that weigh memory and bandwidth have the machine for themselves afterwards.
test:
	$(BESIDE) $(VENV)/.installed-test dashboard-dev $(VENV)/.made-secantusdb
	status=0; \
	$(BIN)/python -m pytest --numprocesses=3 --dist=loadfile \
		--ignore=tests/load --ignore=tests/soak --ignore=tests/dashboard || status=1; \
	$(BIN)/python -m pytest tests/load tests/soak || status=1; \
	exit $$status

# The dashboard in a real browser, with real brokers.
test-dashboard:
	$(BESIDE) $(VENV)/.installed-test dashboard-dev
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile tests/dashboard

# Pictures of every place in both themes, in build/screens; DOCS=--docs renews the six of docs/pictures.
screens:
	$(BESIDE) $(VENV)/.installed-test dashboard-dev
	$(BIN)/python -m tests.dashboard.screens $(DOCS)

# Faults of each back-end of the authentication plugins, and the examples of their pages; the ordinary tests have some.
test-backends: $(VENV)/.installed-test $(VENV)/.made-secantusdb
	BACKEND_FAULTS=all $(BIN)/python -m pytest tests/auth_backends/test_faults.py tests/auth_backends/test_pages.py

# The pages in emqx_mgmt/dashboard/dist, built anew only when a source has changed; dashboard-dev also has what tests need.
PAGES := emqx_mgmt/dashboard/dist/index.html
PAGE_SOURCES := $(wildcard dashboard/*.* dashboard/locales/*/*) \
	$(shell find dashboard/src -path dashboard/src/generated -prune -o -type f -print)
DASHBOARD_FLAGS ?=

dashboard: $(PAGES)
$(PAGES): $(PAGE_SOURCES) | $(VENV)/.made
	@echo "Building the dashboard's pages"
	@$(BIN)/python dashboard/build.py $(DASHBOARD_FLAGS)

dashboard-dev: | $(VENV)/.made
	$(BIN)/python dashboard/build.py --dev $(DASHBOARD_FLAGS)
	$(MAKE) --no-print-directory dashboard

wheel: $(VENV)/.installed-lint dashboard
	$(BIN)/python -m build --sdist --wheel --no-isolation

# kill -9 of the whole broker, 50 times under load; the ordinary tests do it three times.
test-kill: $(VENV)/.installed-test
	DURABLE_ROUNDS=50 $(BIN)/python -m pytest tests/durable/test_kill.py

# Half an hour of mixed load with faults; the ordinary tests run it for 20 seconds.
SOAK_SECONDS ?= 1800
soak: $(VENV)/.installed-test
	SOAK_SECONDS=$(SOAK_SECONDS) $(BIN)/python -m pytest -s tests/soak

# A hundred thousand clients that come, subscribe and go; the ordinary tests have twelve thousand.
test-churn: $(VENV)/.installed-test
	CHURN_CYCLES=100000 $(BIN)/python -m pytest tests/load/test_storms.py -k cycles

# USR2 from the code of a revision to this one, both installed from wheels; the ordinary tests have this code twice.
FROM ?= HEAD
UPGRADE := $(CURDIR)/build/upgrade
INSTALL = $(PIP) --no-build-isolation --no-deps --target
test-upgrade: $(VENV)/.installed-test dashboard
	rm -rf $(UPGRADE) && mkdir -p $(UPGRADE)/from $(UPGRADE)/to
	git archive $(FROM) | tar -x -C $(UPGRADE)/from
	git ls-files -z --cached --others --exclude-standard | tar -c --null -T - | tar -x -C $(UPGRADE)/to
	for tree in from to; do \
		mkdir -p $(UPGRADE)/$$tree/emqx_mgmt/dashboard && cp -r emqx_mgmt/dashboard/dist $(UPGRADE)/$$tree/emqx_mgmt/dashboard; done
	$(INSTALL) $(UPGRADE)/before $(UPGRADE)/from
	$(INSTALL) $(UPGRADE)/after $(UPGRADE)/to
	UPGRADE_FROM=$(UPGRADE)/before UPGRADE_TO=$(UPGRADE)/after $(BIN)/python -m pytest tests/server/test_upgrade.py

# Each plugin loaded, unloaded and reloaded a hundred times; the ordinary tests do it twenty times, or five.
test-plugins: $(VENV)/.installed-test $(VENV)/.made-secantusdb
	PLUGIN_ROUNDS=100 BACKEND_FAULTS=all $(BIN)/python -m pytest tests/plugins tests/auth_backends -k 'given_back or nothing_stays'

# The extension under ASan and UBSan, with counters that guide the fuzzer, in a copy of the sources: what runs there
# imports it instead of the ordinary one. Anything the sanitizers find ends the process. PYTHONMALLOC: they see bytes objects.
SANITIZED := build/sanitized
SANITIZERS = PYTHONMALLOC=malloc ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
	LD_PRELOAD=$$($(BIN)/python -c 'import atheris; print(atheris.path())')/asan_with_fuzzer.so
IN_SANITIZED = export $(SANITIZERS); cd $(SANITIZED) &&

$(SANITIZED): $(VENV)/.installed-test $(VENV)/.installed-fuzz
	mkdir -p $@
	git ls-files -z --cached --others --exclude-standard | tar -c --null -T - | tar -x -C $@
	cd $@ && EXT_SANITIZE=1 $(CURDIR)/$(BIN)/python setup.py -q build_ext --inplace

# The tests of the core, of the protocol, and of hostile clients over every transport; not those that weigh memory.
HEAVIER := --deselect tests/core/test_router.py::test_unsubscribing_leaves_nothing_behind
SANITIZED_TESTS ?= tests/core tests/fuzz tests/mqtt tests/listeners/test_hostile.py
sanitize: $(SANITIZED)
	$(IN_SANITIZED) $(CURDIR)/$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile $(HEAVIER) $(SANITIZED_TESTS)

# Ten minutes for each target; FUZZ_KEEP=keep puts what reached something new into tests/fuzz/corpus.
FUZZ_SECONDS ?= 600
FUZZ_KEEP ?=
fuzz: $(SANITIZED)
	$(IN_SANITIZED) for target in codec stream websocket; do \
		$(CURDIR)/$(BIN)/python -m tests.fuzz $$target $(FUZZ_SECONDS) $(FUZZ_KEEP) || exit 1; done
	$(if $(FUZZ_KEEP),cp $(SANITIZED)/tests/fuzz/corpus/*.hex tests/fuzz/corpus/)

lint: $(VENV)/.installed $(VENV)/.installed-lint
	PATH="$(CURDIR)/$(BIN):$$PATH"; ruff check . && mypy && cython-lint router_ext

# The documentation as a site in build/site. A broken link ends the build, and so does a page that would load from elsewhere.
docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	! grep -rlE '<(script|link|img|iframe)[^>]+(src|href)="(https?:)?//' --include='*.html' build/site

# Peers that are missing are installed where that can be done. BENCH="--quick", BENCH="one qos1 --repeat 3", …
bench: $(VENV)/.installed-bench
	$(BIN)/python benchmarks/compare.py --install $(BENCH)

$(VENV)/.made:
	@echo "Making the virtual environment $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)
	@echo "Installing pip, setuptools and Cython"
	@$(PIP) --no-compile --upgrade pip setuptools wheel 'cython>=3.3,<4'
	@touch $@

# Editable, so that a changed Python file needs nothing; a changed Cython source builds again.
$(VENV)/.installed: $(SOURCES) | $(VENV)/.made
	@echo "Building the extension and installing what the broker needs, which takes up to a minute"
	@$(PIP) --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-%: $(VENV)/.installed
	@echo "Installing what $* needs"
	@$(PIP) --group $*
	touch $@

# A server for the tests of MongoDB, with an environment of its own since it brings another driver. Where it cannot be had
# these tests are skipped.
$(VENV)/.made-secantusdb: | $(VENV)/.made
	$(PYTHON) -m venv $(VENV)/secantusdb
	$(VENV)/secantusdb/bin/python -m pip install -qq --disable-pip-version-check secantusdb==0.7.0b3 && touch $@ || \
		echo "secantusdb cannot be installed: the tests of MongoDB do without it" >&2

clean:
	rm -rf $(VENV) build dist *.egg-info dashboard/node_modules dashboard/src/generated emqx_mgmt/dashboard/dist router_ext/*/*.c router_ext/*/*.so router_ext/*/*.html
