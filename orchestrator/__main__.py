"""``python -m orchestrator``, and the console script ``steering-sweeps``."""

from typing import NoReturn

from orchestrator.program import run_program


def command_line() -> None:
    """The commands; what they need takes a moment to import."""
    from orchestrator.cli import app

    app()


def main() -> NoReturn:
    """The whole program, to its exit code."""
    run_program(command_line)


if __name__ == "__main__":
    main()
