"""SQL that says whether a row of a place speaks of somebody. Table and column names are constants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fleet_server.privacy import rules
from fleet_server.privacy.inventory import How, Kept, Place

# A site report is HTML with its data, of which everything that people read in it is made, as JSON in a script
# (provisioning/technician/report.py, which takes a report only where this block is one, and JSON). Another
# before it is nobody's business: what it holds need not even be text.
_DATA_BEGINS, _DATA_ENDS = '<script type="application/json" id="site-report">', "</script>"


def parameters(names: Sequence[str]) -> dict[str, Any]:
    """What `match` asks the database to be given."""
    return {
        "names": list(names),
        "forms": rules.forms(names),
        "in_documents": rules.in_documents(names),
        "pattern": rules.pattern(names),
        "whole": rules.whole(names),
        "in_full": rules.pattern(full) if (full := rules.in_full(names)) else None,
    }


def match(place: Place) -> str:
    """A condition over the table `t`."""
    column = f"t.{place.column}"
    match place.how:
        case How.NAME:
            return f"({_name(column, accounts=place.kept is Kept.ACCOUNT)})"
        case How.TEXT:
            return f"{column} ~ :pattern"
        case How.JSON:
            return f"({_json(column)})"
        case How.BESIDE:
            in_json = f"starts_with({column}, '{{') AND strpos({column}, chr(92)) > 0"
            found = f"{column} ~ :pattern OR ({in_json} AND {_decoded(column)} ~ :pattern)"
            return f"(t.salt IS NOT NULL AND ({column} = ANY(:forms) OR {found}))"
        case How.BYTES:
            return f"({_document(column)})"


def _name(column: str, *, accounts: bool) -> str:
    """An account's name is exact. What people typed may have other blanks and, where a name is of more than
    one word, others beside it: "Ana Costa" is not the "ana" who has an account."""
    exact = f"{column} = ANY(:forms)"
    return exact if accounts else f"{_alone(column)} OR {column} ~ :in_full"


def _alone(column: str) -> str:
    return f"{column} = ANY(:forms) OR {column} ~ :whole"


def texts(place: Place) -> str:
    """The texts of a row of the table `t` that may name somebody, as a query of one column."""
    column = f"t.{place.column}"
    match place.how:
        case How.NAME | How.TEXT:
            return f"SELECT {column}"
        case How.JSON:
            told = f"jsonb_path_query({column}, 'strict $.** ? (@.type() == \"string\")')"
            keys = f"jsonb_path_query({column}, 'strict $.** ? (@.type() == \"object\")')"
            return f"SELECT {told} #>> '{{}}' UNION ALL SELECT jsonb_object_keys({keys})"
        case How.BESIDE:
            in_json = f"starts_with({column}, '{{')"
            kept = f"SELECT {column} WHERE t.salt IS NOT NULL AND NOT {in_json}"
            decoded = f"CASE WHEN {in_json} THEN {_decoded(column)} END"
            return f"{kept} UNION ALL SELECT {decoded} WHERE t.salt IS NOT NULL AND {in_json}"
        case How.BYTES:
            begins, told = _report(column)
            return f"SELECT CASE WHEN {begins} > 0 THEN {told} END"


def erased(place: Place) -> str:
    """What a column of names is set to: all of it, or the name where others stand beside it."""
    column = f"t.{place.column}"
    if place.kept is Kept.ACCOUNT:
        return ":tombstone"
    instead = f"regexp_replace({column}, :in_full, :tombstone, 'g')"
    return f"CASE WHEN {_alone(column)} THEN :tombstone ELSE {instead} END"


def _json(column: str) -> str:
    """Of the decoded texts and keys: in JSON's own text a letter may follow a line break as `\\nAna`."""
    texts = f"jsonb_path_query({column}, 'strict $.** ? (@.type() == \"string\")') AS told"
    objects = f"jsonb_path_query({column}, 'strict $.** ? (@.type() == \"object\")') AS told"
    return (
        f"EXISTS (SELECT FROM {texts} WHERE told #>> '{{}}' ~ :pattern)"  # noqa: S608
        f" OR EXISTS (SELECT FROM {objects}, jsonb_object_keys(told) AS name WHERE name ~ :pattern)"
    )


def _document(column: str) -> str:
    begins, told = _report(column)
    spelled = (
        "EXISTS (SELECT FROM unnest(CAST(:in_documents AS text[])) n"
        f" WHERE position(convert_to(n, 'UTF8') IN {column}) > 0)"
    )
    return f"{spelled} OR ({begins} > 0 AND {told} ~ :pattern)"


def _report(column: str) -> tuple[str, str]:
    """Where a report's data begins (0: nowhere), and the data."""
    begins = f"position(convert_to('{_DATA_BEGINS}', 'UTF8') IN {column})"
    rest = f"substring({column} FROM {begins})"
    data = f"substring({rest} FROM 1 FOR position(convert_to('{_DATA_ENDS}', 'UTF8') IN {rest}))"
    return begins, _decoded(f"convert_from({data}, 'UTF8')")


def _decoded(value: str) -> str:
    """JSON's text with its escapes undone, whole or cut off: a blank for control characters and for what is
    no escape. A backslash that was escaped waits as U+0001, which JSON has none of."""
    undone = rf"replace({value}, '\\', chr(1))"
    for escape, instead in (
        (r'\\(["/])', r"\1"),
        (r"\\([bfnrt]|u00[01][0-9a-fA-F]|u[dD][89a-fA-F][0-9a-fA-F]{2})", " "),
        (r"\\(?!u[0-9a-fA-F]{4})", " "),
    ):
        undone = f"regexp_replace({undone}, '{escape}', '{instead}', 'g')"
    return f"replace(unistr({undone}), chr(1), chr(92))"
