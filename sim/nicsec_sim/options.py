# SPDX-License-Identifier: Apache-2.0
"""From flags and files on a command line to a `Config`, with errors that say where to look."""

import dataclasses
import functools
import inspect
import re
import tomllib
import typing
from pathlib import Path
from typing import Annotated

import typer
from nicsec.config import PRESETS, Config

from .errors import InputError

__all__ = ["DEFAULT_PRESET", "ConfigOption", "PresetOption", "config_from_flags", "with_config_flags"]

DEFAULT_PRESET = "basic"

PresetOption = Annotated[
    str | None,
    typer.Option("--preset", metavar="NAME", help=f"One of {', '.join(PRESETS)} (default {DEFAULT_PRESET})."),
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE.toml", help="Configuration from a file of fields.")
]


def _flag(field):
    return "--" + field.replace("_", "-")


def config_from_flags(preset=None, config_path=None, overrides=None):
    """The `Config` of ``--preset`` or ``--config``, with single fields replaced.

    Parameters
    ----------
    preset : str, optional
        Name of a preset; without both this and a file, `DEFAULT_PRESET`.
    config_path : path, optional
        TOML file of fields, which may name a ``preset`` to start from.
    overrides : dict, optional
        Fields given as flags; those that are None are left alone.

    Raises
    ------
    InputError
        Names the flag, or the file and line, the value and what is allowed.
    """
    overrides = {field: value for field, value in (overrides or {}).items() if value is not None}
    if preset is not None and config_path is not None:
        raise InputError("--preset and --config exclude each other: a file may say preset = NAME")
    if config_path is not None:
        config = _from_file(Path(config_path))
    else:
        name = DEFAULT_PRESET if preset is None else preset
        if name not in PRESETS:
            raise InputError(f"--preset must be one of {', '.join(PRESETS)}, not {name!r}")
        config = PRESETS[name]
    if not overrides:
        return config
    try:
        return Config.from_dict({**config.to_dict(), **overrides})
    except ValueError as error:
        field = _field_of(error)
        raise InputError(str(error).replace(field, _flag(field), 1) if field in overrides else str(error)) from None


def _field_of(error):
    """The field that a message of `Config` begins with or quotes, or an empty string."""
    found = re.match(r"unknown field '([^']*)'|(\w+)", str(error))
    return (found.group(1) or found.group(2)) if found else ""


def _from_file(path):
    try:
        text = path.read_text()
        return Config.from_toml(path)
    except OSError as error:
        raise InputError(f"--config: {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"--config: {path} is not a text file") from None
    except tomllib.TOMLDecodeError as error:
        message, _, at = str(error).rpartition(" (at line ")
        line = at.partition(",")[0]
        if not line.isdigit():  # the end of the file
            raise InputError(f"{path}:{text.count(chr(10)) + 1}: {error}") from None
        raise InputError(f"{path}:{line}: {message}: {text.splitlines()[int(line) - 1].strip()}") from None
    except ValueError as error:
        pattern = re.compile(rf"\s*[\"']?{re.escape(_field_of(error))}[\"']?\s*=|\s*\[+{re.escape(_field_of(error))}\]")
        lines = [number for number, line in enumerate(text.splitlines(), 1) if pattern.match(line)]
        raise InputError(f"{path}:{lines[0]}: {error}" if lines else f"{path}: {error}") from None


def _help():
    """The sentence on each field in `Config`'s docstring."""
    entries = re.findall(r"^(\w+) : .*\n((?:    .*\n?)+)", inspect.getdoc(Config), re.MULTILINE)
    return {name: " ".join(text.split()).replace("``", "") for name, text in entries}


def with_config_flags(command):
    """Give ``command`` a flag for each field of `Config`; its parameter ``overrides`` gets those that were used.

    The flags follow the fields by themselves. A list of names is given with commas, or by repeating the flag.
    """
    fields, texts, flags = typing.get_type_hints(Config), _help(), []
    for field in dataclasses.fields(Config):
        hint = fields[field.name]
        # `Config` itself refuses what is no number, and says what would be allowed.
        kind = hint if hint in (str, bool) else str if hint is int else list[str]
        option = typer.Option(
            _flag(field.name), metavar={str: "NAME", int: "N", bool: None}.get(hint, "NAME,..."),
            help=texts.get(field.name), show_default=False)
        flags.append(inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]))

    @functools.wraps(command)
    def wrapper(**arguments):
        overrides = {}
        for flag in flags:
            value = arguments.pop(flag.name)
            if isinstance(value, list):
                value = tuple(name for item in value for name in item.split(",") if name) if value else None
            elif isinstance(value, str) and fields[flag.name] is int and value.isdecimal():
                value = int(value)
            if value is not None:
                overrides[flag.name] = value
        return command(**arguments, overrides=overrides)

    own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
           for parameter in inspect.signature(command).parameters.values() if parameter.name != "overrides"]
    wrapper.__signature__ = inspect.Signature([*own, *flags])
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *flags)}
    return wrapper
