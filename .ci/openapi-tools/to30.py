#!/usr/bin/env python3
"""Brings an OpenAPI 3.1 document down to the 3.0 that progenitor 0.15 reads.   to30.py SPEC31.json > SPEC30.json"""
import json
import sys

with open(sys.argv[1]) as file:
    document = json.load(file)
schemas = document.get("components", {}).get("schemas", {})


def walk(value, change):
    change(value)
    if isinstance(value, dict):
        for key, child in value.items():
            if key not in ("example", "examples", "default", "enum", "const"):
                walk(child, change)
    elif isinstance(value, list):
        for child in value:
            walk(child, change)


def bring_down(schema):
    if not isinstance(schema, dict):
        return
    types = schema.get("type")
    if isinstance(types, list):
        rest = [name for name in types if name != "null"]
        if len(rest) == 1:
            schema["type"] = rest[0]
        else:
            del schema["type"]
            schema["anyOf"] = [{"type": name} for name in rest]
        if "null" in types:
            schema["nullable"] = True
            if None not in schema.get("enum", [None]):
                schema["enum"].append(None)
    for union in ("oneOf", "anyOf"):
        branches = schema.get(union)
        if isinstance(branches, list) and {"type": "null"} in branches:
            branches.remove({"type": "null"})
            schema["nullable"] = True
            if len(branches) == 1:
                del schema[union]
                schema["allOf"] = branches
                if "$ref" in branches[0]:
                    target = schemas.get(branches[0]["$ref"].rsplit("/", 1)[-1], {})
                    schema["type"] = target.get("type", "object")
    if len(schema) > 1 and schema.get("$ref", "").startswith("#/components/schemas/"):
        schema["allOf"] = [{"$ref": schema.pop("$ref")}]
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
        schema.setdefault("type", "string")
    if isinstance(schema.get("examples"), list):
        schema["example"] = schema.pop("examples")[0]
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if type(schema.get(exclusive)) in (int, float):
            schema[bound] = schema[exclusive]
            schema[exclusive] = True
    schema.pop("propertyNames", None)


def drop_string_constraints(schema):
    """Each would become a type of its own."""
    if isinstance(schema, dict) and schema.get("type") == "string":
        for constraint in ("minLength", "maxLength", "pattern"):
            schema.pop(constraint, None)


def name_problems_json(value):
    """It gives a type to application/json only."""
    if isinstance(value, dict) and "application/problem+json" in value:
        value["application/json"] = value.pop("application/problem+json")


document["openapi"] = "3.0.3"
document["info"].pop("summary", None)
document["info"].get("license", {}).pop("identifier", None)
document.pop("jsonSchemaDialect", None)
for change in (bring_down, drop_string_constraints, name_problems_json):
    walk(document, change)
json.dump(document, sys.stdout, indent=1)
