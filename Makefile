# guided_seg: `make` lists what there is. Every target sets up its own virtual environment first.

PYTHON     ?= python3
VENV       ?= .venv
EXPERIMENT ?= late_global
ARGS       ?=
SECONDS    ?= 600
LOCK       ?=
# Tests run in parallel, one worker a core and at most four; WORKERS=0 runs them in this process. Each worker begins
# with neighbours, which share what is made once for a file, and takes over from others when it is done.
WORKERS    ?= auto
PARALLEL   := -n $(WORKERS) --maxprocesses=4 --dist=worksteal

BIN  := $(VENV)/bin
PIP  := $(BIN)/python -m pip --disable-pip-version-check
LOCKED := $(if $(LOCK),--constraint $(LOCK))
# A stamp is newer than what it was installed from, or the installation is repeated.
RUN  := $(VENV)/.installed-run
DEV  := $(VENV)/.installed-dev
FROM := $(VENV)/pyvenv.cfg setup.cfg pyproject.toml

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install run smoke test coverage test-fast test-matrix fuzz golden audit lock lint format type docs build clean

help:  ## list the targets and their settings
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  PYTHON=$(PYTHON)  VENV=$(VENV)  EXPERIMENT=$(EXPERIMENT)  WORKERS=$(WORKERS)  SECONDS=$(SECONDS)"
	@echo "  LOCK=requirements.lock installs the versions with which all tests passed"
	@echo "  ARGS=... is passed on, as in: make run ARGS='mode=semantic seed=1', make test ARGS='-k guide'"

install: $(DEV)  ## set up the virtual environment with everything that development needs

run: $(RUN)  ## train and test the main experiment (EXPERIMENT=, ARGS=)
	$(BIN)/python -m guided_seg.run +experiment=$(EXPERIMENT) $(ARGS)

smoke: $(RUN)  ## the main experiment for a few steps, to see that it works (ARGS=)
	$(BIN)/python -m guided_seg.run +experiment=$(EXPERIMENT) trainer=smoke logger=none $(ARGS)

test: $(DEV)  ## all tests (ARGS=, WORKERS=)
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

coverage: $(DEV)  ## all tests, and which lines and branches they reach; takes longer (ARGS=, WORKERS=)
	$(BIN)/python -m pytest $(PARALLEL) --cov $(ARGS)

test-fast: $(DEV)  ## the quick tests, up to the first failure (ARGS=, WORKERS=)
	$(BIN)/python -m pytest $(PARALLEL) -x -m 'not slow' $(ARGS)

test-matrix: $(DEV)  ## the quick tests on each Python there is, and with the lowest versions allowed (ARGS=, WORKERS=)
	$(BIN)/python .ci/matrix.py $(PARALLEL) $(ARGS)

fuzz: $(DEV)  ## look for input that crashes a reader, with random files and commands (SECONDS=)
	$(BIN)/python tests/fuzz/long.py $(SECONDS)

golden: $(DEV)  ## write down the scores that tests/model/test_golden.py compares with, after a change that is meant
	REFRESH_GOLDEN=1 $(BIN)/python -m pytest -n 0 tests/model/test_golden.py

audit: $(DEV)  ## look up known security faults of the versions in requirements.lock; needs the network
	$(BIN)/uv tool run pip-audit --strict --no-deps --disable-pip --requirement requirements.lock

lock: $(DEV)  ## write the versions of this environment to requirements.lock, once all tests have passed in it
	{ sed '/^[^#]/,$$d' requirements.lock; $(PIP) freeze --all --exclude-editable --exclude pip --exclude uv; } > $(VENV)/lock
	mv $(VENV)/lock requirements.lock

lint: $(DEV)  ## check the style of the code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(DEV)  ## put the code in style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

type: $(DEV)  ## check the types
	$(BIN)/mypy

docs: $(DEV)  ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

build: $(DEV)  ## build the wheel and the source archive into dist/
	$(BIN)/python -m build

clean:  ## remove what was built and cached; keeps the virtual environment and the runs
	rm -rf build dist site htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache src/*.egg-info
	find conf src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
		echo "guided_seg needs Python 3.11 to 3.13 but PYTHON=$(PYTHON) is `$(PYTHON) --version 2>&1`;" \
			"name another, as in: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUN): $(FROM)
	@$(call INSTALL,.)
	@$(CHECK_OPENCV)
	@touch $@

# The development installation contains the one for running, so the latter is not repeated after it.
$(DEV): $(FROM)
	@$(call INSTALL,'.[dev]')
	@$(CHECK_OPENCV)
	@touch $(RUN) $@

# uv takes less than half of pip's time, but knows nothing of how pip is configured (an index or certificates of one's
# own, say) or cannot be had: then pip does it.
define INSTALL
$(PIP) install --quiet uv && $(BIN)/uv pip install --python $(BIN)/python --compile-bytecode $(LOCKED) --editable $(1) || { \
	echo "uv did not install it; pip tries." >&2; $(PIP) install $(LOCKED) --editable $(1); }
endef

define CHECK_OPENCV
$(BIN)/python -c 'import cv2' || { \
	echo "OpenCV is installed but does not load; a bare Linux lacks its libraries (libGL, libglib). Either install them," \
		"as root: apt-get install libgl1 libglib2.0-0, or use the OpenCV that needs none:" \
		"$(PIP) install --force-reinstall --no-deps opencv-python-headless. Then repeat the command." >&2; exit 1; }
endef
