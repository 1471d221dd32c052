"""`kubectl explain`: the documentation of a field, from the server's OpenAPI v3."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from pybernetes.cli.command import Command
from pybernetes.cli.errors import CLIError

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session

Schema = dict[str, Any]


def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    """See the module."""
    if not arguments:
        raise CLIError(
            'You must specify the type of resource to explain. Use "kubectl api-resources" for a complete list of '
            "supported resources.\n"
        )
    if len(arguments) > 1:
        raise CLIError("We accept only this format: explain RESOURCE\nSee 'kubectl explain -h' for help and examples")
    word, *fields = arguments[0].split(".")
    resource = session.resources.find(word)
    version = flags.text("api-version")
    if version:
        wanted = next(
            (r for r in session.resources.all() if r.api_version == version and r.plural == resource.plural), None
        )
        if wanted is None:
            raise CLIError(f'couldn\'t find resource for "{version}, Kind={resource.kind}"')
        resource = wanted
    base = "apis" if resource.group else "api"
    document = session.call("GET", f"/openapi/v3/{base}/{resource.api_version}")
    schemas: dict[str, Schema] = (document.get("components") or {}).get("schemas") or {}
    schema = _of_kind(schemas, resource.group, resource.version, resource.kind)
    if schema is None:
        raise CLIError(f'couldn\'t find resource for "{resource.api_version}, Kind={resource.kind}"')
    kind_of_field = ""
    description = schema.get("description", "")
    for name in fields:
        inner = _object(schemas, schema)
        properties = inner.get("properties") or {}
        if name not in properties:
            raise CLIError(f'field "{name}" does not exist')
        field = properties[name]
        kind_of_field = _type(schemas, field)
        described = _object(schemas, field)
        description = field.get("description", "")
        extra = described.get("description", "")
        if extra and extra != description:
            description = f"{description}\n{extra}" if description else extra
        schema = field
    _print(session, flags, resource, fields, kind_of_field, description, schemas, schema)
    return None


def _of_kind(schemas: dict[str, Schema], group: str, version: str, kind: str) -> Schema | None:
    for schema in schemas.values():
        for gvk in schema.get("x-kubernetes-group-version-kind") or ():
            if (gvk.get("group", ""), gvk.get("version"), gvk.get("kind")) == (group, version, kind):
                return schema
    return None


def _resolve(schemas: dict[str, Schema], schema: Schema) -> Schema:
    for _ in range(8):
        ref = schema.get("$ref") or next((s["$ref"] for s in schema.get("allOf") or () if "$ref" in s), None)
        if not ref:
            return schema
        schema = schemas.get(ref.rsplit("/", 1)[-1], {})
    return schema


def _object(schemas: dict[str, Schema], schema: Schema) -> Schema:
    """The schema whose properties are meant: of the items of a list, of the values of a map."""
    schema = _resolve(schemas, schema)
    while True:
        if schema.get("items"):
            schema = _resolve(schemas, schema["items"])
        elif isinstance(schema.get("additionalProperties"), dict) and not schema.get("properties"):
            schema = _resolve(schemas, schema["additionalProperties"])
        else:
            return schema


def _type(schemas: dict[str, Schema], schema: Schema) -> str:
    ref = schema.get("$ref") or next((s["$ref"] for s in schema.get("allOf") or () if "$ref" in s), None)
    if ref:
        name = str(ref).rsplit(".", 1)[-1]
        target = _resolve(schemas, schema)
        if target.get("type") not in (None, "object") or target.get("oneOf"):
            return name if target.get("oneOf") else str(target["type"])
        return name
    kind = schema.get("type", "Object")
    if kind == "array":
        return f"[]{_type(schemas, schema.get('items') or {})}"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"map[string]{_type(schemas, values)}" if isinstance(values, dict) and values else "Object"
    return str(kind)


def _print(
    session: Session,
    flags: Flags,
    resource: Any,
    fields: list[str],
    kind: str,
    description: str,
    schemas: dict[str, Schema],
    schema: Schema,
) -> None:
    if resource.group:
        session.say(f"GROUP:      {resource.group}")
    session.say(f"KIND:       {resource.kind}")
    session.say(f"VERSION:    {resource.version}\n")
    inner = _object(schemas, schema)
    if fields:
        session.say(f"FIELD: {fields[-1]} <{kind}>{_enum(schema, inner)}\n\n")
    session.say("DESCRIPTION:")
    session.out.write(_wrapped(description or "<empty>", 4))
    if inner.get("properties"):
        session.say("    ")
        session.say("FIELDS:")
        _fields(session, flags, schemas, inner, 1, set())
    elif fields:
        session.say("    ")
    session.say("")


def _enum(schema: Schema, inner: Schema) -> str:
    values = schema.get("enum") or inner.get("enum")
    return "\nENUM:\n    " + "\n    ".join(str(v) or '""' for v in values) if values else ""


def _wrapped(text: str, indent: int) -> str:
    pad = " " * indent
    out = []
    for paragraph in text.split("\n"):
        out += textwrap.wrap(paragraph, 76, break_long_words=False, break_on_hyphens=False) or [""]
    return "".join(f"{pad}{line}\n" for line in out)


def _fields(
    session: Session, flags: Flags, schemas: dict[str, Schema], schema: Schema, level: int, seen: set[int]
) -> None:
    required = set(schema.get("required") or ())
    for name, field in sorted((schema.get("properties") or {}).items()):
        needed = " -required-" if name in required else ""
        session.say(f"{'  ' * level}{name}\t<{_type(schemas, field)}>{needed}")
        inner = _object(schemas, field)
        if flags.on("recursive"):
            if id(inner) not in seen:
                _fields(session, flags, schemas, inner, level + 1, seen | {id(inner)})
            continue
        text = field.get("description") or inner.get("description") or "<no description>"
        session.out.write(_wrapped(text, 4))
        session.say("")


COMMAND = Command(
    "Describe fields and structure of various resources.",
    usage="kubectl explain TYPE [--recursive=FALSE|TRUE] [--api-version=api-version-group] [-o|--output=plaintext]",
    flags="api-version= o:output=plaintext R:recursive?",
    run=run,
    examples="kubectl explain pods\nkubectl explain pods.spec.containers",
)
