# SPDX-License-Identifier: Apache-2.0
# The two commands to know: `make demo` and `make test`. Each does all the set-up it needs.

BIN     := .venv/bin
JOBS    ?= 2
PYTESTFLAGS ?=
PACKETS ?= 20000
SEED    ?= 1
PRESET  ?= full

# What `make report` measures: presets; seeds of the placement, MHz that they strive for and minutes that one may take;
# and the series of lanes.
REPORT         := build/report
REPORT_PRESETS ?= tiny gigabit 10g
SEEDS          ?= 1 2 3
FREQ           ?= 150
FIT_MINUTES    ?= 240
# How a preset is placed: a 10g fills most of its part.
FIT_10g        := --freq 125 --placer static --place-rams --no-reset
FIT_gigabit    := --freq 140 --device 25k --placer static --place-rams --no-reset
SERIES         ?= tiny
LANES          ?= 2 4 8 16

.DEFAULT_GOAL := help
.PHONY: help setup demo test mix simspeed lint clean vectors corpus report report-page report-figures

help:
	@echo "make demo    protect packets in the RTL; captures and keys go to build/demo"
	@echo "make test    lint, then every test (JOBS=$(JOBS) at a time; PYTESTFLAGS='-k gcm' to choose)"
	@echo "make mix     random traffic against the golden model (PACKETS=$(PACKETS) SEED=$(SEED) PRESET=$(PRESET))"
	@echo "make simspeed cycles a second of the simulation, beside those of cocotb's own flags (PRESET=$(PRESET))"
	@echo "make vectors every NIST CBC and GCM vector that ESP has a shape for, through the RTL (some minutes)"
	@echo "make corpus  every packet of other IPsec stacks (tb/corpus) through preset full on Verilator, a sample on Icarus"
	@echo "make report  docs/report: bench, place and route of $(REPORT_PRESETS) (hours; what is in $(REPORT) is kept)"
	@echo "make report-page  the same page again from what was measured before"
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

# Each file of figures is made once; delete one to measure it anew. Place and route keeps every seed in build/fit, so a
# run that was stopped goes on. One simulation or synthesis at a time, so that times are of that alone. A figure that
# fails stops no other, and the page, which is drawn in any case, says what is missing.
figures = $(REPORT)/bench-$(1).json $(REPORT)/fit-$(1).json $(REPORT)/cycles-$(1).json
FIGURES := $(foreach preset,$(REPORT_PRESETS),$(call figures,$(preset))) \
	$(foreach lanes,$(LANES),$(REPORT)/lanes-bench-$(lanes).json $(REPORT)/lanes-area-$(lanes).json) \
	$(REPORT)/lanes-area-1.json $(REPORT)/simspeed-$(SERIES).json
.DELETE_ON_ERROR:
.NOTPARALLEL:
.SECONDARY:

report: setup
	@status=0; $(MAKE) --no-print-directory -k report-figures || status=$$?; \
	$(MAKE) --no-print-directory report-page && exit $$status

report-figures: $(FIGURES)

report-page:
	@$(BIN)/nicsec report $(wildcard $(FIGURES)) $(filter-out $(FIGURES),$(sort $(wildcard $(REPORT)/*.json))) -o docs/report \
		$(REPORT_PRESETS:%=--preset %)

$(REPORT)/bench-%.json:
	$(BIN)/nicsec bench --preset $* --json $@

$(REPORT)/fit-%.json:
	$(BIN)/nicsec fit --preset $* $(SEEDS:%=--seed %) --freq $(FREQ) $(FIT_$*) --limit $(FIT_MINUTES) --keep-going -o $@

# Not one of those that the page must have: area without place and route, for the page of a build that has none yet.
$(REPORT)/area-%.json:
	$(BIN)/nicsec fit --preset $* --area ecp5 -o $@

$(REPORT)/cycles-%.json:
	@mkdir -p $(@D)
	$(BIN)/python scripts/waterfall.py --preset $* --size 80 -o $@

$(REPORT)/lanes-bench-%.json:
	$(BIN)/nicsec bench --preset $(SERIES) --lanes $* --mode transport --sas 16 --size 80 --size 1518 --json $@

$(REPORT)/lanes-area-%.json:
	$(BIN)/nicsec fit --preset $(SERIES) --lanes $* --area ecp5 -o $@

$(REPORT)/simspeed-%.json:
	$(BIN)/nicsec bench --preset $* --sim-speed --json $@

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/python -m nicsec_sim.lint

clean:
	@rm -rf build .pytest_cache .ruff_cache
