# One command for each thing. GNU make and a POSIX shell; everything else is fetched.
SHELL := /bin/sh
# What was unpacked without root comes first; Debian keeps servers in sbin, which accounts may lack.
export PATH := $(CURDIR)/.tools/bin:$(PATH):/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
PY := .venv/bin/python
# Tests of one file stay on one worker: they share a broker or a database. Whole systems run one after another on
# one, browsers on the next (tests/support/scheduling.py), beside a third for everything else.
PYTEST_ARGS ?= -n 3 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help demo test check fix docs bench chaos fuzz models pins clean venv

help: ## this list
	@echo "usage: make TARGET"
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo 'examples:'
	@echo '  make demo ARGS="--for 90s --report report.json"'
	@echo '  make test PYTEST_ARGS="tests/wire_contract -x"'

demo: ## a whole city on this machine; ARGS="--help" lists what it can do; Ctrl-C ends it
	@tools/ensure_venv.sh demo
	@tools/ensure_system.sh mosquitto
	@exec .venv/bin/lamppost demo $(ARGS)

venv: ## the development environment in .venv, and nothing else
	@tools/ensure_venv.sh dev

test: venv ## every test, on real brokers, databases and browsers; installs what they need
	@tools/ensure_system.sh mosquitto --optional postgresql chromium softhsm2 fat openssh
	@exec $(PY) -m pytest $(PYTEST_ARGS)

check: venv ## every check that runs nothing: style, types, imports, house rules, generated files
	@tools/check.sh

fix: venv ## formats, and repairs what ruff can repair
	@$(PY) -m ruff check --fix . ; $(PY) -m ruff format .

docs: venv ## writes the generated documents anew: diagrams, AsyncAPI, OpenAPI, public names
	@$(PY) -m tools.generate

bench: venv ## the benchmarks, each with its floor; ARGS="--report bench.json", ARGS="ingest queries"
	@tools/ensure_system.sh mosquitto
	@exec $(PY) -m benchmarks $(ARGS)

chaos: venv ## faults at random moments, nothing lost; ARGS="--minutes 30 --seed 7", "--list"
	@tools/ensure_system.sh mosquitto
	@exec $(PY) -m tests.chaos $(ARGS)

fuzz: venv ## far more requests to the API and to enrolment than `make test` asks; LAMPPOST_FUZZ_EXAMPLES=300
	@LAMPPOST_FUZZ_EXAMPLES=$${LAMPPOST_FUZZ_EXAMPLES:-100} exec $(PY) -m pytest -s tests/security/test_any_request.py tests/security/test_any_enrolment.py $(ARGS)

models: venv ## trains, quantizes and measures the lamppost's model anew; ARGS="--quick" tries the way
	@tools/ensure_train.sh
	@exec nice .venv-train/bin/python -m models.air_anomaly build $(ARGS)

pins: venv ## writes constraints.txt from what is installed in .venv
	@$(PY) -m tools.pins

clean: ## removes what make made
	rm -rf .venv .venv-train .tools .demo build dist lamppost.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .nicegui
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
