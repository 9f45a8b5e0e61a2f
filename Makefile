# Every target prepares what it needs (scripts/setup); nothing has to be typed before.

FRAMES ?= 100
VIDEO ?=
VIEW ?=
RATE ?=
ARGS ?=
# The recipe of demo reads these from the environment, where spaces and quotes stay as they are.
export FRAMES VIDEO RATE VIEW
export CALLER := $(PWD)

.PHONY: help setup demo test lint format clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' Makefile

setup: ## prepare the environment and nothing else
	@scripts/setup

# With make -C, VIDEO may be relative to where make was typed.
demo: ## segment 100 frames of the street camera into demo/; FRAMES=N VIDEO=path RATE=hz VIEW=1 ARGS=...
	@export FANET_DEMO_STARTED=$$(date +%s.%N); \
	  [ -e "$$VIDEO" ] || [ ! -e "$$CALLER/$$VIDEO" ] || VIDEO=$${VIDEO:+$$CALLER/$$VIDEO}; \
	  scripts/in_env python -m fanet_ros.ros.demo.run --frames "$$FRAMES" \
	    $${VIDEO:+--video "$$VIDEO"} $${RATE:+--rate "$$RATE"} $${VIEW:+--view} $(ARGS)

test: lint ## lint, check types and run all tests; ARGS=... for pytest
	@scripts/in_env python -m pytest -n 3 --dist worksteal $(ARGS)

lint: ## ruff check, ruff format --check, import-linter, mypy
	@scripts/in_env ruff check .
	@scripts/in_env ruff format --check .
	@scripts/in_env lint-imports --no-logo
	@[ -z "$$ROS_DISTRO" ] || echo "mypy is left out: the types of ROS 2 $$ROS_DISTRO are not those of the pinned packages"
	@[ -n "$$ROS_DISTRO" ] || scripts/in_env mypy
	@[ -n "$$ROS_DISTRO" ] || scripts/in_env mypy scripts/prepare.py

format: ## reformat the code and fix what ruff can fix
	@scripts/in_env ruff check --fix .
	@scripts/in_env ruff format .

clean: ## remove all that was made here except demo/; the next make starts afresh
	@rm -rf .venv .ws build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
