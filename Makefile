# Entry points. Each recipe runs one Python module, which documents what it does.
SHELL := /bin/sh
PYTHON ?= python3
STACK ?= lab
WORKERS ?= 2
PY := .venv/bin/python
LAB := $(PY) -m lab

# The stack of a command, and Pulumi's option for another file than Pulumi.<stack>.yaml.
OF_FILE = $(if $(CONFIG_FILE),--config-file '$(CONFIG_FILE)')
OF_STACK = --stack '$(STACK)' $(OF_FILE)

# Passed through the environment, unexpanded, so that quotes and dollar signs in a command arrive as typed.
override CMD := $(value CMD)
override ARGS := $(value ARGS)
export ARGS CMD LAB_ID LONG PODS

.DEFAULT_GOAL := help
.PHONY: help venv tools lab lab-preview lab-shell lab-down preview rehearse deployed delegation certificates rotate give recover check charts test mutants bench seal sealing-key sealed-bootstrap enrol

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

venv: .venv/.installed

.venv/.installed: requirements-dev.txt lab/bootstrap.sh
	@PYTHON='$(PYTHON)' sh lab/bootstrap.sh

tools: venv ## build the tools of lab and tests that are neither on PATH nor in the cache (LONG=1: those of the long tests too)
	@$(LAB) tools

lab: venv ## start the lab: the whole platform on this machine, touching nothing real (LAB_ID=name for a second lab; PODS=real, as root: with pods that run)
	@$(LAB) up

lab-preview: venv ## show what `make lab` would change
	@$(LAB) lab-preview

lab-shell: venv ## open a shell in which pulumi and kubectl talk to the lab; CMD='...' runs a single command
	@$(LAB) shell

lab-down: venv ## destroy the lab's stack, stop its processes and remove its files
	@$(LAB) down

preview: venv ## preview STACK=name without access to a machine or a credential
	@$(LAB) preview '$(STACK)' $(OF_FILE) $(if $(JSON),--json '$(JSON)')

deployed: venv ## write what Flux deploys in STACK=name, by object, to JSON=file, for a comparison of two commits
	@ARGS='--stack $(STACK) --deployed $(abspath $(JSON))' $(LAB) check

rehearse: venv ## run up, a second up and destroy of STACK=name in a network namespace with the stack's own addresses (PODS=real, as root: with pods that run)
	@$(LAB) rehearse '$(STACK)' $(OF_FILE)

delegation: venv ## print the records that the parent zone needs for the domain of STACK=name; nothing need exist
	@$(PY) -m stacks.commands.delegation $(OF_STACK)

certificates: venv ## say which certificates of STACK=name are not issued yet, and why
	@$(PY) -m stacks.commands.certificates $(OF_STACK)

rotate: venv ## rotate the application secret NAME: raise its generation in the file of STACK; without NAME, list them
	@$(PY) -m stacks.commands.rotate $(OF_STACK) --name '$(NAME)'

give: venv ## put the value on standard input into Vault, for KEY= of the secret NAME of STACK; without NAME, list them
	@$(PY) -m stacks.commands.give $(OF_STACK) --name '$(NAME)' --key '$(KEY)'

recover: venv ## make STACK=name usable again after a `pulumi up` that was killed
	@$(PY) -m stacks.commands.recover $(OF_STACK)

check: venv ## check lint, types, generated files, chart values (CHARTS_MIRROR=dir: in the charts there), and the whole platform (ARGS='--json')
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@$(PY) -m stacks.settings.schema --check
	@$(PY) -m checks.blueprints
	@ARGS= $(LAB) charts
	@$(LAB) check

capacity: venv ## print what all pods request, by namespace, and what is there with a node down
	@$(LAB) capacity

charts: venv ## look each chart's values up in the charts in CHARTS_MIRROR=dir, and record what these make (ARGS='--only-present')
	@ARGS="--record $$ARGS" $(LAB) charts

test: venv tools ## run the tests, including those in the lab, with WORKERS=2 side by side; LONG=1: the long ones too
	@.venv/bin/pytest $(if $(LONG),,-m 'not long') --numprocesses '$(WORKERS)' --dist loadgroup --no-loadscope-reorder --durations 25 --durations-min 20

mutants: venv tools ## break the program in one place at a time, and say which breakages no fast test notices (SAMPLE=n: try n)
	@$(PY) -m tests.mutants --workers '$(WORKERS)' $(if $(SAMPLE),--sample '$(SAMPLE)')

bench: venv tools ## print one JSON object: time and peak memory by number of nodes
	@$(PY) -m lab.bench

enrol: venv ## print the first sign-on link for USER=name in STACK=name, valid for MINUTES=1440
	@$(PY) -m stacks.commands.enrol $(OF_STACK) --user '$(USER)' $(if $(MINUTES),--minutes '$(MINUTES)')

seal: venv ## seal standard input for NAMESPACE= NAME= KEY=, with STACK= or CERTIFICATE=file (also TYPE=, SCOPE=)
	@$(PY) -m stacks.commands.seal value --namespace '$(NAMESPACE)' --name '$(NAME)' --key '$(KEY)' \
		$(if $(TYPE),--type '$(TYPE)') $(if $(SCOPE),--scope '$(SCOPE)') \
		$(if $(CERTIFICATE),--certificate '$(CERTIFICATE)',$(OF_STACK))

sealing-key: venv ## create the SealedSecrets keypair of STACK=name; FORCE=1 replaces an existing one
	@$(PY) -m stacks.commands.seal keypair $(OF_STACK) $(if $(filter 1,$(FORCE)),--force)

sealed-bootstrap: venv ## print the bootstrap secrets of STACK=name as SealedSecrets
	@$(PY) -m stacks.commands.seal bootstrap $(OF_STACK)
