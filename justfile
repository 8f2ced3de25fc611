# Install everything, as the lock file says.
sync:
    uv sync --locked --compile-bytecode

# Format and repair what can be repaired.
fix:
    uv run ruff format .
    uv run ruff check --fix .

# What humans, hooks and CI run before tests.
check:
    uv run ruff format --check .
    uv run ruff check .
    uv run mypy
    uv run lint-imports

test *ARGS:
    uv run pytest {{ARGS}}
