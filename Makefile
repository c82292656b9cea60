# SPDX-License-Identifier: Apache-2.0
# The two commands to know: `make demo` and `make test`. Each does all the set-up it needs.

BIN     := .venv/bin
JOBS    ?= 2
PYTESTFLAGS ?=
PACKETS ?= 20000
SEED    ?= 1
PRESET  ?= full

.DEFAULT_GOAL := help
.PHONY: help setup demo test mix simspeed lint clean vectors corpus

help:
	@echo "make demo    protect packets in the RTL; captures and keys go to build/demo"
	@echo "make test    lint, then every test (JOBS=$(JOBS) at a time; PYTESTFLAGS='-k gcm' to choose)"
	@echo "make mix     random traffic against the golden model (PACKETS=$(PACKETS) SEED=$(SEED) PRESET=$(PRESET))"
	@echo "make simspeed cycles a second of the simulation, beside those of cocotb's own flags (PRESET=$(PRESET))"
	@echo "make vectors every NIST CBC and GCM vector that ESP has a shape for, through the RTL (some minutes)"
	@echo "make corpus  every packet of other IPsec stacks (tb/corpus) through preset full on Verilator, a sample on Icarus"
	@echo "make lint    ruff, and Verilator's lint of every preset's Verilog"
	@echo "make setup   make .venv with everything from PyPI and the nicsec command"
	@echo "make clean   remove build/ (models, Verilog, results); .venv stays"

setup:
	@scripts/setup.sh demo

demo: setup
	@$(BIN)/nicsec demo

# Each line's output is followed by the next. A whole run also holds docs/conformance.md to what passed.
test:
	@scripts/setup.sh test
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m pytest -q -n $(JOBS) --junitxml=build/tests.xml $(PYTESTFLAGS)
	@$(if $(PYTESTFLAGS),,$(BIN)/python scripts/conformance.py build/tests.xml --check)

# Stops at the first packet that differs and prints it as a line for `nicsec replay`.
mix: setup
	@$(BIN)/python tb/mix.py --packets $(PACKETS) --seed $(SEED) --preset $(PRESET)

simspeed: setup
	@$(BIN)/nicsec bench --preset $(PRESET) --sim-speed

vectors: setup
	@NICSEC_VECTORS=all $(BIN)/python -m pytest -q -n $(JOBS) tb/unit/test_cipher.py

corpus: setup
	@NICSEC_CORPUS=all $(BIN)/python -m pytest -q -n $(JOBS) tb/system/test_corpus.py

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/python -m nicsec_sim.lint

clean:
	@rm -rf build .pytest_cache .ruff_cache
