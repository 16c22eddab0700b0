"""Refuse options that were typed but would change nothing, in one line that says why."""

from __future__ import annotations

from collections.abc import Mapping

import typer

from fer3d.errors import ArgumentError


def check_used(context: typer.Context, reasons: Mapping[str, str]) -> None:
    """Raise ArgumentError for the first option that was typed although it would have no effect.

    Args:
        context: The context of the command.
        reasons: Name of a parameter of the command -> the reason, as "is of layout bu4dfe"; "" if it has an effect.
    """
    for name, reason in reasons.items():
        if reason and is_typed(context, name):
            raise ArgumentError(f"`{flag(context, name)}` would change nothing: it {reason}")


def is_typed(context: typer.Context, name: str) -> bool:
    """Whether a parameter was given on the command line, even if its value is the default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def flag(context: typer.Context, name: str) -> str:
    """What a user types for a parameter: its long option, or the name of an argument."""
    options = next((parameter.opts for parameter in context.command.params if parameter.name == name), [name])
    return max(options, key=len)
