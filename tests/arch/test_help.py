"""Every command of `lamppost` shows an example of itself in its own --help."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from importlib import import_module

import pytest

import lamppost

# Their groups' examples stand in their help, none of them with their own name: each line here is a debt.
ONLY_ITS_GROUPS = frozenset(
    f"lamppost fleet {name}"
    for name in (
        "operators password", "operators disable", "operators enable", "approvals show", "claim list",
        "claim withdraw", "enrolments admit", "enrolments reject", "lamppost activate",
        "lamppost decommission", "calibration list", "calibration remove", "groups list", "groups show",
        "groups change",
    )
)  # fmt: skip


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
    lacking = without_example(parser)
    assert set(lacking) <= ONLY_ITS_GROUPS, "write one into the EXAMPLES of what it is a command of"
    mended = {each for each in ONLY_ITS_GROUPS if each.startswith(f"lamppost {command} ")} - set(lacking)
    assert not mended, "it has an example now: take it off the list"
    for each in leaves(parser):
        assert "\n  lamppost" in each.format_help() or "\n  sudo lamppost" in each.format_help(), each.prog


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
    parser = lamppost.with_examples(import_module("fleet_server.admin_cli").parser())
    shown = {each.prog: each.format_help() for each in leaves(parser)}["lamppost fleet claim withdraw"]
    assert "lamppost fleet claim new" in shown
    assert "lamppost fleet retention" not in shown


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
