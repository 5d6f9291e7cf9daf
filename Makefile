.PHONY: install test lint ci quickstart

install:
	pip install -e '.[test]'
	pre-commit install

test:
	pytest

lint:
	ruff check .
	ruff format --check .
	mypy
	lint-imports

quickstart:
	semiretina quickstart

ci:
	bash .ci/run
