"""``python -m orchestrator``."""

from orchestrator.program import run_program


def command_line() -> None:
    """The commands; what they need takes a moment to import."""
    from orchestrator.cli import app

    app()


if __name__ == "__main__":
    run_program(command_line)
