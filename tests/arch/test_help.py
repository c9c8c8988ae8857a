"""Every command of `lamppost` shows an example of itself in its own --help."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from importlib import import_module

import pytest

import lamppost


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    groups = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    if not groups:
        yield parser
    for group in groups:
        for each in group.choices.values():
            yield from leaves(each)


def without_example(parser: argparse.ArgumentParser) -> list[str]:
    return [
        each.prog for each in leaves(parser) if not any(lamppost.examples_of(each.format_help(), each.prog))
    ]


@pytest.mark.parametrize("command", lamppost.COMMANDS)
def test_every_command_shows_an_example_of_itself(command: str) -> None:
    parser = lamppost.with_examples(import_module(lamppost.COMMANDS[command][0]).parser())
    assert without_example(parser) == [], "write one into the EXAMPLES of what it is a command of"


@pytest.mark.parametrize("command", lamppost.COMMANDS)
def test_every_example_is_taken(command: str) -> None:
    """What follows two blanks or more is said of it; where something is left out there is a "…"."""
    parser = lamppost.with_examples(import_module(lamppost.COMMANDS[command][0]).parser())
    for each in leaves(parser):
        joined = "".join(lamppost.examples_of(each.format_help(), each.prog)).replace("\\\n", "")
        for line in (re.sub(r" {2,}(?=--)", " ", line.strip()) for line in joined.splitlines()):
            words = shlex.split(re.split(r" {2,}|\s>\s", line)[0])
            if words and "…" not in line:
                parser.parse_args(words[words.index(command) + 1 :])


def made(examples: str, own: str | None = None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lamppost x", epilog=examples)
    commands = parser.add_subparsers()
    commands.add_parser("show", epilog=own)
    commands.add_parser("show-all")
    return lamppost.with_examples(parser)


@pytest.mark.parametrize(
    ("examples", "own", "shown"),
    [
        ("examples:\n  lamppost x show 1 \\\n     --more\n  lamppost x show-all\n", None,
         "  lamppost x show 1 \\\n     --more\n"),
        ("examples:\n  sudo lamppost x show 1\n", None, "  sudo lamppost x show 1\n"),
        ("examples:\n  lamppost x show 1\n", "  lamppost x show 2", "  lamppost x show 2"),
        ("examples:\n  lamppost x show 1\n", "A word.", "  lamppost x show 1\n\nA word."),
        ("examples:\n  lamppost x show-all 1\n", None, "  lamppost x show-all 1\n"),
    ],
)  # fmt: skip
def test_what_a_command_takes_over(examples: str, own: str | None, shown: str) -> None:
    first = next(leaves(made(examples, own)))
    assert (first.epilog or "").removeprefix("examples:\n") == shown


def test_a_command_that_none_names_shows_its_kin() -> None:
    parser = argparse.ArgumentParser(prog="lamppost x", epilog="  lamppost x far y\n  lamppost x near other")
    near = parser.add_subparsers().add_parser("near").add_subparsers()
    near.add_parser("other")
    lone = near.add_parser("lone")
    lamppost.with_examples(parser)
    assert "lamppost x near other" in lone.format_help()
    assert "lamppost x far" not in lone.format_help()


def test_a_command_without_an_example_is_found() -> None:
    assert without_example(made("nothing")) == ["lamppost x show", "lamppost x show-all"]
    assert without_example(made("  lamppost x show")) == ["lamppost x show-all"]


def test_the_command_line_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, told in (
        (["provision", "bundle", "--help"], "--card /media/ana/bootfs"),
        (["agent", "install", "-h"], "sudo lamppost agent install"),
    ):
        with pytest.raises(SystemExit) as ended:
            lamppost.main(arguments)
        assert ended.value.code == 0
        assert told in capsys.readouterr().out
