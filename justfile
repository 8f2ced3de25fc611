# Every command names the group it needs: a bare `uv run` installs what serving needs and no more.
run := "uv run --group dev"

# Install everything, as the lock file says.
sync:
    uv sync --locked --group dev --compile-bytecode

# Format and repair what can be repaired.
fix:
    {{run}} ruff format .
    {{run}} ruff check --fix .

# What humans, hooks and CI run before tests.
check:
    {{run}} ruff format --check .
    {{run}} ruff check .
    {{run}} mypy
    {{run}} lint-imports

test *ARGS:
    {{run}} pytest {{ARGS}}

# All of them, in two processes.
test-all *ARGS:
    {{run}} pytest -n 2 --dist loadfile {{ARGS}}
