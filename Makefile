# SPDX-License-Identifier: Apache-2.0
# The two commands to know: `make demo` and `make test`. Each does all the set-up it needs.

BIN     := .venv/bin
JOBS    ?= 2
PYTESTFLAGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint clean

help:
	@echo "make demo    protect packets in the RTL; captures and keys go to build/demo"
	@echo "make test    lint, then every test (JOBS=$(JOBS) at a time; PYTESTFLAGS='-k gcm' to choose)"
	@echo "make lint    ruff, and Verilator's lint of every preset's Verilog"
	@echo "make setup   make .venv with everything from PyPI and the nicsec command"
	@echo "make clean   remove build/ (models, Verilog, results); .venv stays"

setup:
	@scripts/setup.sh demo

demo: setup
	@$(BIN)/nicsec demo

# Each line's output is followed by the next; the last is pytest's count.
test:
	@scripts/setup.sh test
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m pytest -q -n $(JOBS) $(PYTESTFLAGS)

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/python -m nicsec_sim.lint

clean:
	@rm -rf build .pytest_cache .ruff_cache
