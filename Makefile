# make demo   a synthetic road-scene dataset, and the whole walk on it
# make test   the tests; `make test SLOW=1` runs the long ones too
# make lint   ruff and mypy
# make bench  the benchmarks, in under ten minutes on two cores; `make bench FULL=1`: more repetitions
#
# All of them install what they need into .venv, pinned by constraints.txt. A torch that is in .venv already is kept.
# PIP_EXTRA_ARGS goes to pip as it is.

PYTHON ?= python3
VENV ?= .venv
PIP_EXTRA_ARGS ?=
BIN = $(VENV)/bin
EXTRAS = dev,distributed,onnx,sweep,video,wandb

.PHONY: demo test lint bench clean

demo: $(VENV)/installed
	$(BIN)/sightline sample demo/road-scenes --drives 24 --frames 8
	$(BIN)/sightline run --config demo/sightline.yaml --store demo/.sightline

test: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(if $(SLOW),-m "slow or not slow")

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/installed-dev
	@for script in $(sort $(wildcard benchmarks/bench_*.py)); do \
		echo "== $$script"; $(BIN)/python $$script $(if $(FULL),--full) || exit 1; done

clean:
	rm -rf demo/.sightline demo/road-scenes

$(VENV)/installed: pyproject.toml constraints.txt
	$(call install,.)

$(VENV)/installed-dev: pyproject.toml constraints.txt
	$(call install,.[$(EXTRAS)])
	@touch $(VENV)/installed

define install
$(PYTHON) -c 'import sys; sys.exit("Python 3.11 to 3.13 is needed; make PYTHON=python3.12 … names another" if not (3, 11) <= sys.version_info < (3, 14) else 0)'
test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
if $(BIN)/python -c 'import torch, torchvision' 2>/dev/null; \
	then grep -vE '^(torch|torchvision|triton)==' constraints.txt; else cat constraints.txt; fi > $(VENV)/constraints.txt
$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(VENV)/constraints.txt $(PIP_EXTRA_ARGS) -e '$(1)'
@touch $@
endef
