# `make search` and `make test` set everything up by themselves; `make clean` forgets it.
PYTHON ?= python3
BIN := .venv/bin
EXTRAS := search,relief,features,unet,test,docs

.PHONY: search test lint docs reference clean

search: .venv/ready
	$(BIN)/python jobs/search.py search_spaces/quickstart.yaml

test: .venv/ready lint
	$(BIN)/python -m pytest

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "site/index.html is the first page; its search needs a server: $(BIN)/python -m http.server -d site"

reference: .venv/ready
	$(BIN)/python docs/tools/write_reference.py

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	touch $@

clean:
	rm -rf .venv results site
