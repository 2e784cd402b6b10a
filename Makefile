# The two commands: `make book` and `make test`. Each target calls one tool
# in book/tools, which runs without make too.

ifeq ($(OS),Windows_NT)
PYTHON := .venv/Scripts/python
SYSTEM_PYTHON ?= python
else
PYTHON := .venv/bin/python
SYSTEM_PYTHON ?= python3
endif
TOOL := $(PYTHON) book/tools

.DEFAULT_GOAL := help
.PHONY: help setup lab lab-author book test test-all export record results bench clean

help:       ## this list
	@sed -n 's/^\([a-z-]*\): .*##/\1  /p' Makefile | awk '{printf "make %-11s", $$1; $$1=""; print}'

setup:      ## build .venv from requirements.lock (the others do it by themselves)
	@$(SYSTEM_PYTHON) book/tools/setup.py

lab: setup  ## open the course: working copies of the chapters in work/
	@$(TOOL)/lab.py

lab-author: setup ## open the chapters themselves
	@$(TOOL)/lab.py --author

book: setup ## run every chapter and assemble the book (REAL=1: with real data sets)
	@$(TOOL)/build.py $(if $(REAL),--real) $(if $(CI),--budget)

test: setup ## the tests, the chapters included
	@$(TOOL)/run_tests.py

test-all: setup ## the slow tests too: mutants, autograder, plain Sphinx
	@$(TOOL)/run_tests.py --all

export: setup ## chapters -> seglib
	@$(TOOL)/export.py

record: setup ## store what the checked cells print
	@$(TOOL)/record.py $(if $(ONLY),--only $(ONLY))

results: setup ## measure what takes longer than a chapter (ONLY=04)
	@$(TOOL)/results.py $(if $(ONLY),--only $(ONLY))

bench: setup ## time ours beside the others (ONLY=04)
	@$(TOOL)/bench.py $(if $(ONLY),--only $(ONLY))

clean:      ## remove what was built; .venv, data and work/ stay
	@$(SYSTEM_PYTHON) -c "import shutil; shutil.rmtree('build', ignore_errors=True)"
