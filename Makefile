# Two targets do everything, from nothing but Python 3.11 and make:
#   make demo   environment, small real model, redone-eval on the embedded suite
#   make test   environment, lint, types, tests
PYTHON ?= python3
VENV ?= .venv
MODEL ?= models/SmolLM2-135M-Instruct
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test check model clean bench
.DELETE_ON_ERROR:

demo: $(STAMP) $(MODEL)/config.json
	$(BIN)/redone-eval --model $(MODEL) --suite sns-mini

test: $(STAMP) $(MODEL)/config.json check
	REDONE_TEST_MODEL=$(abspath $(MODEL)) $(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python

model: $(MODEL)/config.json

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[demo,dev,general]'
	touch $@

$(MODEL)/config.json: | $(STAMP)
	$(BIN)/python -m redone.harness.models.smollm2 $(MODEL)

bench: $(STAMP) $(MODEL)/config.json
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[bench]'
	$(BIN)/python benchmarks/eval_speed.py --model $(MODEL)

clean:
	rm -rf $(VENV) build *.egg-info
