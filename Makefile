# Entry points. Each recipe hands over to one Python module; what it does is said there.
SHELL := /bin/sh
PYTHON ?= python3
STACK ?= lab
PY := .venv/bin/python
LAB := $(PY) -m lab

# The stack of a command, and Pulumi's option for another file than Pulumi.<stack>.yaml.
OF_STACK = --stack '$(STACK)' $(if $(CONFIG_FILE),--config-file '$(CONFIG_FILE)')

# Handed over in the environment and unexpanded, so that a command's quotes and dollar signs arrive as typed.
override CMD := $(value CMD)
export CMD LAB_ID

.DEFAULT_GOAL := help
.PHONY: help venv tools lab lab-preview lab-shell lab-down preview rehearse rotate recover check test bench seal sealing-key sealed-bootstrap enrol

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' Makefile | awk -F': ' '{ printf "  make %-16s %s\n", $$1, $$2 }'

venv: .venv/.installed

.venv/.installed: requirements-dev.txt lab/bootstrap.sh
	@PYTHON='$(PYTHON)' sh lab/bootstrap.sh

tools: venv ## build every tool of the lab that is neither on PATH nor in the cache
	@$(LAB) tools

lab: venv ## bring up the lab: the whole platform on this machine, nothing real touched (LAB_ID=name for a second one)
	@$(LAB) up

lab-preview: venv ## what `make lab` would change
	@$(LAB) lab-preview

lab-shell: venv ## a shell where pulumi and kubectl speak to the lab; CMD='...' runs one command
	@$(LAB) shell

lab-down: venv ## destroy the lab's stack, stop its processes, remove its files
	@$(LAB) down

preview: venv ## preview STACK=name with no machine and no credential in reach
	@$(LAB) preview '$(STACK)'

rehearse: venv ## up, a second up and destroy of STACK=name in a network namespace with the stack's own addresses
	@$(LAB) rehearse '$(STACK)'

rotate: venv ## raise the generation of application secret NAME in the file of STACK; without NAME list them
	@$(PY) -m stacks.commands.rotate $(OF_STACK) --name '$(NAME)'

recover: venv ## make STACK=name usable again after a `pulumi up` that was killed
	@$(PY) -m stacks.commands.recover $(OF_STACK)

check: venv ## lint, types, generated files, blueprints, values of charts (CHARTS_MIRROR=dir to look them up in the charts there)
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@$(PY) -m stacks.settings.schema --check
	@$(PY) -m checks.blueprints
	@$(PY) -m checks.charts

test: venv tools ## every test, the lab's included
	@.venv/bin/pytest

bench: venv tools ## one JSON object: seconds and peak memory by number of nodes
	@$(PY) -m lab.bench

enrol: venv ## print the link by which USER=name signs on first in STACK=name (MINUTES=1440)
	@$(PY) -m stacks.commands.enrol $(OF_STACK) --user '$(USER)' $(if $(MINUTES),--minutes '$(MINUTES)')

seal: venv ## seal the value on standard input for NAMESPACE= NAME= KEY= and STACK= or CERTIFICATE=file (also TYPE=, SCOPE=)
	@$(PY) -m stacks.commands.seal value --namespace '$(NAMESPACE)' --name '$(NAME)' --key '$(KEY)' \
		$(if $(TYPE),--type '$(TYPE)') $(if $(SCOPE),--scope '$(SCOPE)') \
		$(if $(CERTIFICATE),--certificate '$(CERTIFICATE)',$(OF_STACK))

sealing-key: venv ## make the keypair of STACK=name for SealedSecrets; FORCE=1 replaces one
	@$(PY) -m stacks.commands.seal keypair $(OF_STACK) $(if $(filter 1,$(FORCE)),--force)

sealed-bootstrap: venv ## print the bootstrap secrets of STACK=name as SealedSecrets
	@$(PY) -m stacks.commands.seal bootstrap $(OF_STACK)
