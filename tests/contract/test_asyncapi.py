"""docs/asyncapi.yaml says what the code says, in the shape AsyncAPI 3 asks for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from tests.contract.golden import CURRENT, expected
from wire_contract.asyncapi import document, render
from wire_contract.messages import Message, SampleBatch
from wire_contract.topics import Address, Down, Up, down_topic, up_topic

FILE = Path(__file__).resolve().parents[2] / "docs" / "asyncapi.yaml"
HERE = Address("lyon", "post-0017")

_REFERENCE = {
    "type": "object",
    "required": ["$ref"],
    "properties": {"$ref": {"type": "string"}},
    "maxProperties": 1,
}
# The objects of https://www.asyncapi.com/docs/reference/specification/v3.0.0 that are used here.
ASYNCAPI_3: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "required": ["asyncapi", "info", "channels", "operations"],
    "additionalProperties": False,
    "properties": {
        "asyncapi": {"const": "3.0.0"},
        "info": {
            "type": "object",
            "required": ["title", "version"],
            "properties": {"license": {"type": "object", "required": ["name"]}},
        },
        "defaultContentType": {"type": "string"},
        "servers": {
            "additionalProperties": {"type": "object", "required": ["host", "protocol"]},
        },
        "channels": {
            "additionalProperties": {
                "type": "object",
                "required": ["address", "messages", "parameters"],
                "properties": {
                    "address": {"type": "string"},
                    "messages": {"additionalProperties": _REFERENCE, "minProperties": 1},
                    "parameters": {"additionalProperties": _REFERENCE},
                },
            }
        },
        "operations": {
            "additionalProperties": {
                "type": "object",
                "required": ["action", "channel"],
                "additionalProperties": False,
                "properties": {
                    "action": {"enum": ["send", "receive"]},
                    "channel": _REFERENCE,
                    "bindings": {
                        "type": "object",
                        "properties": {
                            "mqtt": {
                                "type": "object",
                                "properties": {
                                    "qos": {"enum": [0, 1, 2]},
                                    "retain": {"type": "boolean"},
                                    "bindingVersion": {"const": "0.2.0"},
                                },
                                "additionalProperties": False,
                            }
                        },
                        "additionalProperties": False,
                    },
                },
            }
        },
        "components": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "messages": {
                    "additionalProperties": {
                        "type": "object",
                        "required": ["name", "payload"],
                        "properties": {
                            "traits": {"type": "array", "items": _REFERENCE},
                            "payload": _REFERENCE,
                        },
                    }
                },
                "schemas": {"additionalProperties": {"$ref": "http://json-schema.org/draft-07/schema#"}},
                "parameters": {"type": "object"},
                "messageTraits": {"additionalProperties": {"type": "object", "required": ["headers"]}},
                "securitySchemes": {"additionalProperties": {"type": "object", "required": ["type"]}},
            },
        },
    },
}


@pytest.fixture(scope="module")
def written() -> Any:
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


def test_the_file_is_what_the_code_says() -> None:
    assert FILE.read_text(encoding="utf-8") == render(), (
        "stale: run `python -m wire_contract.asyncapi > docs/asyncapi.yaml`"
    )


def test_the_yaml_is_read_back_as_it_was_meant(written: Any) -> None:
    assert written == json.loads(json.dumps(document()))


def test_the_file_has_the_shape_of_asyncapi_3(written: Any) -> None:
    jsonschema.Draft7Validator.check_schema(ASYNCAPI_3)
    jsonschema.Draft7Validator(ASYNCAPI_3).validate(written)


def references(part: Any) -> list[str]:
    if isinstance(part, dict):
        own = [part["$ref"]] if "$ref" in part else []
        return own + [found for value in part.values() for found in references(value)]
    return [found for value in part for found in references(value)] if isinstance(part, list) else []


def test_every_reference_leads_somewhere(written: Any) -> None:
    found = references(written)
    assert len(found) > 50
    for reference in found:
        at = written
        for step in reference.removeprefix("#/").split("/"):
            assert step in at, reference
            at = at[step]


def test_every_topic_and_every_message_stands_in_it(written: Any) -> None:
    addresses = {
        channel["address"].format(tenant="lyon", device="post-0017")
        for channel in written["channels"].values()
    }
    assert addresses == {up_topic(HERE, c) for c in Up} | {down_topic(HERE, c) for c in Down}
    names = {kind.__name__ for kind in get_args(Message)}
    assert written["components"]["messages"].keys() == names
    assert {name for channel in written["channels"].values() for name in channel["messages"]} == names
    for channel in written["channels"].values():
        assert set(re.findall(r"\{(\w+)\}", channel["address"])) == channel["parameters"].keys()


def test_every_field_is_named_in_its_order(written: Any) -> None:
    for kind in get_args(Message):
        tag, *fields = written["components"]["schemas"][kind.__name__]["items"]
        assert tag == {"enum": [kind.__struct_config__.tag]}
        for name, field in zip(kind.__struct_fields__, fields, strict=True):
            assert field.get("title", name) == name


# On the wire a block of samples is a byte string, which JSON cannot show.
WITHOUT_SAMPLES = [f for f in sorted(CURRENT.glob("*.json")) if not isinstance(expected(f), SampleBatch)]


@pytest.mark.parametrize("file", WITHOUT_SAMPLES, ids=lambda file: file.stem)
def test_golden_messages_satisfy_their_schema(file: Path, written: Any) -> None:
    said = json.loads(file.read_text(encoding="utf-8"))
    schemas = json.loads(json.dumps(written["components"]["schemas"]))
    for schema in schemas.values():
        for field in schema.get("items", []) if isinstance(schema.get("items"), list) else []:
            if field.get("format") == "binary":  # base64 in the file, bytes on the wire
                field.pop("maxLength", None)
    root = {"$ref": f"#/components/schemas/{said['kind']}", "components": {"schemas": schemas}}
    jsonschema.Draft7Validator(root).validate(said["message"])
