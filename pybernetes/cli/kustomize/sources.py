"""configMapGenerator and secretGenerator: their data, the objects, and the hash of their content."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pybernetes.cli.kustomize.model import KustomizeError, Resource, Resources

_LINE = 70  # base64 longer than this is wrapped
_ALPHABET = str.maketrans("013ae", "ghkmt")  # no vowels, nothing that reads like a number


def content_hash(value: dict[str, Any], name: str = "") -> str:
    """The ten letters that are appended to the name of a ConfigMap or Secret. Here the name does not count."""
    from pybernetes.cli.printers.objects import compact_json

    kind = value["kind"]
    hashed: dict[str, Any] = {"kind": kind, "name": name, "data": value.get("data") or ""}
    if kind == "Secret":
        hashed["type"] = value.get("type") or ""
        if value.get("stringData"):
            hashed["stringData"] = value["stringData"]
    elif value.get("binaryData"):
        hashed["binaryData"] = value["binaryData"]
    return hashlib.sha256(compact_json(hashed).encode()).hexdigest()[:10].translate(_ALPHABET)


def add_hashes(resources: Resources) -> None:
    """Give generated objects their final names."""
    for r in resources.all:
        if r.needs_hash:
            r.rename(name=f"{r.name}-{content_hash(r.object)}")


def generate(resources: Resources, kind: str, given: dict[str, Any], options: dict[str, Any], root: Path) -> None:
    """Make one object, or merge it into the one that is there."""
    made = Resource(_object(kind, given, root))
    own = given.get("options") or {}
    for part in ("labels", "annotations"):
        if merged := {**(options.get(part) or {}), **(own.get(part) or {})}:
            made.metadata[part] = merged
    if own.get("immutable", options.get("immutable")):
        made.object["immutable"] = True
    made.needs_hash = not own.get("disableNameSuffixHash", options.get("disableNameSuffixHash"))
    behavior = given.get("behavior") or "create"
    found = resources.ever("v1", kind, made.name, made.namespace)
    if behavior in ("", "create", "unspecified"):
        if found:
            raise KustomizeError(
                f"merging from generator: id {made.shown} exists; can not use behavior: 'unspecified', "
                "behavior must be merge or replace"
            )
        resources.add(made)
        return
    if behavior not in ("merge", "replace"):
        raise KustomizeError(f"unknown behavior: {behavior}")
    if not found:
        raise KustomizeError(f"merging from generator: id {made.shown} does not exist; cannot merge or replace")
    _merge(found[0], made, behavior)


def _merge(old: Resource, made: Resource, behavior: str) -> None:
    for part in ("labels", "annotations"):
        if merged := {**(old.metadata.get(part) or {}), **(made.metadata.get(part) or {})}:
            old.metadata[part] = merged
    for part in ("data", "binaryData"):
        kept = (old.object.get(part) or {}) if behavior == "merge" else {}
        if merged := {**kept, **(made.object.get(part) or {})}:
            old.object[part] = merged
        else:
            old.object.pop(part, None)
    if made.object.get("immutable"):
        old.object["immutable"] = True
    old.needs_hash = old.needs_hash or made.needs_hash


def _object(kind: str, given: dict[str, Any], root: Path) -> dict[str, Any]:
    value: dict[str, Any] = {"apiVersion": "v1", "kind": kind, "metadata": {"name": given.get("name") or ""}}
    if given.get("namespace"):
        value["metadata"]["namespace"] = given["namespace"]
    if kind == "Secret":
        value["type"] = given.get("type") or "Opaque"
    text: dict[str, str] = {}
    binary: dict[str, str] = {}
    for key, content in _pairs(given, root):
        if key in text or key in binary:
            raise KustomizeError(f"{kind.lower()} {given.get('name')} illegally repeats the key `{key}`")
        if kind == "Secret":
            text[key] = _encoded(content)
            continue
        try:
            text[key] = content.decode("utf-8")
        except UnicodeDecodeError:
            binary[key] = _encoded(content)
    if text:
        value["data"] = text
    if binary:
        value["binaryData"] = binary
    return value


def _encoded(content: bytes) -> str:
    text = base64.b64encode(content).decode()
    if len(text) < _LINE:
        return text
    return "".join(text[i : i + _LINE] + "\n" for i in range(0, len(text), _LINE))


def _pairs(given: dict[str, Any], root: Path) -> Iterator[tuple[str, bytes]]:
    try:
        for source in [*(given.get("envs") or ()), *([given["env"]] if given.get("env") else ())]:
            yield from _env_file(read_below(root, source).decode())
        for source in given.get("files") or ():
            key, equals, path = source.partition("=")
            if not equals:
                key, path = os.path.basename(source), source
            try:
                yield key, read_below(root, path)
            except KustomizeError as error:
                raise KustomizeError(f"file sources: [{' '.join(given['files'])}]: {error}") from None
        for source in given.get("literals") or ():
            key, equals, literal = str(source).partition("=")
            if not equals or not key:
                listed = " ".join(map(str, given["literals"]))
                raise KustomizeError(f"literal sources [{listed}]: invalid literal source {source}, expected key=value")
            if len(literal) > 1 and literal[0] == literal[-1] and literal[0] in "'\"":
                literal = literal[1:-1]
            yield key, literal.encode()
    except KustomizeError as error:
        raise KustomizeError(f"loading KV pairs: {error}") from None


def _env_file(text: str) -> Iterator[tuple[str, bytes]]:
    for line in text.removeprefix("\ufeff").splitlines():
        line = line.lstrip()
        if not line or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        yield key, (value if equals else os.environ.get(key, "")).encode()


def read_below(root: Path, name: str) -> bytes:
    """A file of the kustomization; it may not lie outside of it."""
    path = root / name
    if not path.exists():
        raise KustomizeError(f"evalsymlink failure on '{path}' : lstat {path}: no such file or directory")
    real = path.resolve()
    if not real.is_relative_to(root):
        raise KustomizeError(f"security; file '{real}' is not in or below '{root}'")
    try:
        return real.read_bytes()
    except OSError as error:
        raise KustomizeError(f"read {real}: {(error.strerror or '').lower()}") from None
