# `make search` and `make test` set everything up by themselves; `make clean` forgets it.
PYTHON ?= python3
BIN := .venv/bin
EXTRAS := search,relief,features,unet,text,test,docs
BROWSERS := chromium chromium-browser google-chrome google-chrome-stable
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: search emoji test test-long lint browser docs reference clean

search: .venv/ready
	$(BIN)/python jobs/search.py search_spaces/quickstart.yaml

# Captioned pictures for search_spaces/emoji.yaml, as packages of npm.
emoji: .venv/ready
	$(BIN)/python examples/emoji/prepare.py data/emoji

test: .venv/ready lint browser
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m 'not long'

# What takes minutes of real clusters, and is a second look at what the others test.
test-long: .venv/ready
	$(BIN)/python -m pytest -m long

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The tests open a report in a real browser: the system's, else apt's, else where there is no apt Playwright's own.
browser: .venv/ready
	@for name in $(BROWSERS); do command -v $$name > /dev/null && exit 0; done; \
	if command -v apt-get > /dev/null; then \
		echo "no browser for the tests of report.html: apt-get installs chromium"; \
		$(SUDO) apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends chromium > /dev/null; \
	else \
		echo "no browser for the tests of report.html: Playwright downloads chromium"; \
		$(BIN)/python -m playwright install chromium; \
	fi

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
