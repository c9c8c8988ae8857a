"""Read the agent's configuration: every mistake at once, each with file, key, value and what is allowed."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from edge_agent.config_keys import SECTIONS, AgentConfig
from edge_agent.errors import ConfigError

_TYPES: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}
_WORDS = {"str": "text in quotes", "int": "a whole number", "float": "a number", "bool": "true or false"}


def load(path: Path) -> AgentConfig:
    """Read and check the file; a relative path in it counts from its folder. Raises ConfigError whose
    `detail` has one line a problem."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        remedy = "Write one: lamppost agent config --explain > agent.toml"
        raise ConfigError(f"{path}: there is no such file", remedy) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    return _anchored(check(tables, path), path.absolute().parent)


def _anchored(config: AgentConfig, folder: Path) -> AgentConfig:
    """What it names, as paths that are the same from every folder."""
    parts: dict[str, Any] = {}
    for attribute, kind in SECTIONS.values():
        part = getattr(config, attribute)
        named = {entry.name for entry in fields(kind) if entry.metadata["path"]}
        if named:  # no section that may stand several times names a file
            given = {name: getattr(part, name) for name in named}
            parts[attribute] = replace(part, **{k: str(folder / v) for k, v in given.items() if v})
    return replace(config, **parts)


def missing_files(config: AgentConfig) -> list[str]:
    """What the first start would miss: one line each, with the key that names it."""
    own = config.enrolment
    needed = own.claim and own.ca_file and not _there(config.certificate_file)
    if not needed or _there(Path(own.ca_file)):
        return []
    return [f"{config.source}: [enrolment] ca_file = {own.ca_file!r}: there is no such file"]


def _there(path: Path) -> bool:
    """False, too, where we may not look."""
    try:
        return path.exists()
    except PermissionError:
        return False


def check(tables: Mapping[str, Any], source: Path) -> AgentConfig:
    """Check parsed tables. Raises ConfigError."""
    problems: list[str] = []
    for unknown in tables.keys() - SECTIONS.keys():
        problems.append(f"[{unknown}]: there is no such section{_did_you_mean(unknown, SECTIONS)}")
    parts: dict[str, Any] = {}
    for section, (attribute, kind) in SECTIONS.items():
        if section == "sensor":
            parts[attribute] = _sensors(tables.get(section, []), kind, problems)
        else:
            parts[attribute] = _section(kind, tables.get(section, {}), f"[{section}]", problems)
    device = tables.get("device")
    if isinstance(device, dict) and ("latitude" in device) != ("longitude" in device):
        problems.append("[device] latitude, longitude: a place has both; give both or neither")
    if problems:
        raise ConfigError(
            "\n".join(f"{source}: {problem}" for problem in problems),
            "Every key is explained by: lamppost agent config --explain",
        )
    return AgentConfig(source=source, **parts)


def _sensors(given: Any, kind: type, problems: list[str]) -> tuple[Any, ...]:
    if not isinstance(given, list):
        problems.append("[sensor]: write [[sensor]], in double brackets, once for each sensor")
        return ()
    found = [_section(kind, table, f"[[sensor]] number {n}", problems) for n, table in enumerate(given, 1)]
    for key in ("name", "port"):
        values = [getattr(sensor, key) for sensor in found if sensor is not None]
        for value in sorted({value for value in values if values.count(value) > 1}):
            problems.append(f"[[sensor]] {key} = {value!r}: given to more than one sensor")
    return tuple(found)


def _section(kind: type, table: Any, where: str, problems: list[str]) -> Any:
    """One table as its dataclass, or None where it has a problem (which is then in `problems`)."""
    if not isinstance(table, dict):
        problems.append(f"{where}: is not a table")
        return None
    before = len(problems)
    known = {entry.name: entry for entry in fields(kind)}
    for unknown in table.keys() - known.keys():
        problems.append(f"{where} {unknown}: there is no such key{_did_you_mean(unknown, known)}")
    values = {}
    for name, entry in known.items():
        if name in table:
            written = str(entry.type).removesuffix(" | None")
            problem = _problem(table[name], written, entry.metadata)
            if problem:
                problems.append(f"{where} {name} = {_shown(table[name])}: must be {problem}")
            values[name] = float(table[name]) if written == "float" and not problem else table[name]
        elif entry.metadata["required"]:
            problems.append(f"{where} {name}: is missing; {entry.metadata['doc']}")
    return None if len(problems) > before else kind(**values)


def _problem(value: Any, kind: str, rules: Mapping[str, Any]) -> str:
    """What is allowed, when `value` is not; "" when it is."""
    wrong = not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "bool")
    low, high = rules["low"], rules["high"]
    if low is not None:
        allowed = f"{_WORDS[kind]} from {_number(low)} to {_number(high)}"
        return allowed if wrong or not low <= value <= high else ""
    if rules["choices"]:
        choices = rules["choices"]
        return "" if value in choices else f"one of {', '.join(choices)}{_close(str(value), choices)}"
    if wrong:
        return _WORDS[kind]
    if rules["required"] and value == "":
        return "not empty"
    if rules["pattern"] and not re.fullmatch(rules["pattern"], value):
        return str(rules["allowed"])
    return ""


def _shown(value: Any) -> str:
    text = (
        repr(value)
        if isinstance(value, str)
        else str(value).lower()
        if value in (True, False)
        else repr(value)
    )
    return text if len(text) <= 60 else text[:57] + "..."


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    return _close(word, known) or f"; there are {', '.join(known)}"


def _close(word: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word.lower(), list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def explain() -> str:
    """The whole configuration as a documented TOML file; what ships as agent.toml."""
    lines = [
        "# The agent's configuration: every key, with its default where it has one.",
        "# Keys without a default are needed; the others may be left out.",
        "# A relative path counts from the folder of this file, wherever the agent is started.",
    ]
    for section, (_, kind) in SECTIONS.items():
        doc = (kind.__doc__ or "").strip()
        header = f"[[{section}]]" if section == "sensor" else f"[{section}]"
        lines += ["", f"# {doc}", header]
        for entry in fields(kind):
            rules = entry.metadata
            shown = entry.default if rules["example"] is None else rules["example"]
            left_out = "# " if not rules["required"] and entry.default is None else ""
            allowed = _allowed(rules)
            lines.append(f"{left_out}{entry.name} = {_toml(shown)}  # {rules['doc']}{allowed}")
    return "\n".join(lines) + "\n"


def _allowed(rules: Mapping[str, Any]) -> str:
    if rules["low"] is not None:
        return f" {_number(rules['low'])} to {_number(rules['high'])}."
    if rules["choices"]:
        return f" One of {', '.join(rules['choices'])}."
    return f" Allowed: {rules['allowed']}." if rules["allowed"] else ""


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{value:g}" if isinstance(value, float) and value != int(value) else str(value)
