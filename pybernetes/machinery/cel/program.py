"""Syntax tree to program: every node becomes a closure, and gets a type where one is known.

Types are `Schema`s (objects, lists, maps of known shape) or the names of scalars; `DYN` is not known and never wrong.
The check is not a full one: it finds undefined variables, functions and fields, and operators between scalars that do
not fit, which is what definitions and policies are refused for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pybernetes.machinery.cel import kubernetes  # noqa: F401 - adds its functions to the tables
from pybernetes.machinery.cel.functions import GLOBAL, METHODS, NoOverload
from pybernetes.machinery.cel.operators import MACROS, NONE, OPERATORS, TWO_VARIABLES, at, fits, truth
from pybernetes.machinery.cel.syntax import Node, Parser, Source
from pybernetes.machinery.cel.values import CelError, CelType, Optional, type_name
from pybernetes.machinery.schema import Schema

Env = dict[str, Any]
Eval = Callable[[Env], Any]
#: The type of what can be anything.
DYN: Final = None
Type = Schema | str | None

#: Steps of comprehensions one evaluation may take.
STEPS = 1_000_000
_COUNT = "@steps"

_TYPES = {
    name: CelType(name)
    for name in ("int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type", "type")
}
_NAMESPACES = frozenset(name.partition(".")[0] for name in GLOBAL if "." in name) | {"cel"}
_ESCAPED = {
    "__underscores__": "__",
    "__dot__": ".",
    "__dash__": "-",
    "__slash__": "/",
}
_RESULTS: dict[str, str] = {
    "size": "int",
    "int": "int",
    "string": "string",
    "double": "double",
    "bool": "bool",
    "matches": "bool",
    "startsWith": "bool",
    "endsWith": "bool",
    "contains": "bool",
    "lowerAscii": "string",
    "upperAscii": "string",
    "trim": "string",
    "replace": "string",
    "substring": "string",
    "join": "string",
    "format": "string",
    "isSorted": "bool",
    "hasValue": "bool",
    "duration": "duration",
    "timestamp": "timestamp",
    "indexOf": "int",
}


class Program:
    """A compiled expression. Call it with the variables; raises CelError when it cannot be evaluated."""

    __slots__ = ("_run", "names", "result", "text")

    def __init__(self, text: str, run: Eval, result: Type, names: frozenset[str]) -> None:
        self.text = text
        self._run = run
        self.result = result
        self.names = names  #: variables that it refers to

    def __call__(self, variables: Mapping[str, Any]) -> Any:
        env = dict(variables)
        env[_COUNT] = [STEPS]  # shared by all scopes of this evaluation
        try:
            return self._run(env)
        except CelError:
            raise
        except RecursionError:
            raise CelError("expression is nested too deeply") from None
        except (TypeError, ValueError, AttributeError, KeyError, IndexError, OverflowError) as error:
            raise CelError(f"no such overload: {error}") from None


def compile(text: str, variables: Mapping[str, Type], result: str = "") -> Program:
    """Parse and check. `variables`: name -> type; `result`: the type it must have, "" for any. Raises CelError."""
    parser = Parser(text)
    compiler = _Compiler(parser.source, variables)
    run, found = compiler.node(parser.parse(), {})
    have = _scalar(found)
    if result and have not in (None, result):
        raise CelError(f"must evaluate to {result}")
    return Program(text, run, found, frozenset(compiler.used))


def _scalar(type_: Type) -> str | None:
    """The name of a type, None for DYN."""
    if isinstance(type_, Schema):
        if type_.int_or_string or type_.nullable:
            return None
        by_format = {"date-time": "timestamp", "date": "timestamp", "duration": "duration", "byte": "bytes"}
        if type_.type == "string" and type_.struct is None:
            return by_format.get(type_.format, "string")
        kinds = {"integer": "int", "number": "double", "boolean": "bool", "array": "list", "object": "map"}
        return kinds.get(type_.type)
    return type_


def unescape(name: str) -> str:
    """A field as CEL writes it to its wire name: `__dash__`, and keywords in double underscores."""
    if "__" not in name:
        return name
    out = ""
    while name:
        for code, char in _ESCAPED.items():
            if name.startswith(code):
                out, name = out + char, name[len(code) :]
                break
        else:
            out, name = out + name[0], name[1:]
    if out.startswith("__") and out.endswith("__") and len(out) > 4 and "_" not in out[2:-2]:
        return out[2:-2]
    return out


class _Compiler:
    def __init__(self, source: Source, variables: Mapping[str, Type]) -> None:
        self.source = source
        self.variables = variables
        self.used: set[str] = set()

    def node(self, node: Node, scope: dict[str, Type]) -> tuple[Eval, Type]:
        kind = node.kind
        if kind == "const":
            value = node.value
            names = {"google.protobuf.Timestamp": "timestamp", "null_type": "null"}
            return (lambda env: value), names.get(type_name(value), type_name(value))
        if kind == "name":
            return self.name(node, scope)
        if kind == "select":
            return self.select(node, scope)
        if kind == "index":
            return self.index(node, scope)
        if kind == "list":
            return self.list(node, scope)
        if kind in ("map", "message"):
            return self.map(node, scope)
        return self.call(node, scope)

    def name(self, node: Node, scope: dict[str, Type]) -> tuple[Eval, Type]:
        name = node.value
        if name in scope:
            return (lambda env: env[name]), scope[name]
        if name in self.variables:
            self.used.add(name)

            def get(env: Env) -> Any:
                value = env[name]
                if callable(value) and getattr(value, "cel_lazy", False):
                    value = env[name] = value()
                return value

            return get, self.variables[name]
        if (constant := _TYPES.get(name)) is not None:
            return (lambda env: constant), "type"
        raise self.source.error(node.at, f"undeclared reference to '{name}' (in container '')")

    def select(self, node: Node, scope: dict[str, Type]) -> tuple[Eval, Type]:
        assert node.target is not None
        target, of = self.node(node.target, scope)
        field = unescape(node.value)
        type_ = self._field_type(node, of, field)
        if node.optional:

            def maybe(env: Env) -> Any:
                value = target(env)
                if isinstance(value, Optional):
                    if not value.present:
                        return value
                    value = value.value
                return Optional(value[field]) if isinstance(value, dict) and field in value else Optional()

            return maybe, DYN

        def get(env: Env) -> Any:
            value = target(env)
            if isinstance(value, dict):
                try:
                    return value[field]
                except KeyError:
                    raise CelError(f"no such key: {field}") from None
            if isinstance(value, Optional):
                inner = value.value if value.present else None
                return Optional(inner[field]) if isinstance(inner, dict) and field in inner else Optional()
            getter = getattr(value, "cel_field", None)
            if getter is not None:
                return getter(field)
            raise CelError(f"unsupported field selection target: {type_name(value)}")

        return get, type_

    def _field_type(self, node: Node, of: Type, field: str) -> Type:
        if isinstance(of, Schema):
            if of.type == "object" and not of.int_or_string:
                child = of.child(field)
                if child is not None:
                    return child
                if of.preserve_unknown_fields or of.embedded_resource or not (of.properties or of.struct):
                    return DYN
                raise self.source.error(node.at, f"undefined field '{field}'")
            if of.type in ("string", "integer", "boolean", "number", "array") and not of.int_or_string:
                shown = {"array": "list", "integer": "int", "boolean": "bool", "number": "double"}.get(of.type, of.type)
                raise self.source.error(node.at, f"type '{shown}' does not support field selection")
            return DYN
        if of in ("int", "string", "bool", "double"):
            raise self.source.error(node.at, f"type '{of}' does not support field selection")
        return DYN

    def index(self, node: Node, scope: dict[str, Type]) -> tuple[Eval, Type]:
        assert node.target is not None
        target, of = self.node(node.target, scope)
        key, _ = self.node(node.args[0], scope)
        optional = node.optional
        type_: Type = DYN
        if isinstance(of, Schema) and not optional:
            type_ = of.items if of.type == "array" else of.additional

        def get(env: Env) -> Any:
            value, wanted = target(env), key(env)
            if isinstance(value, Optional):
                if not value.present:
                    return value
                found = at(value.value, wanted)
                return Optional() if found is NONE else Optional(found)
            found = at(value, wanted)
            if optional:
                return Optional() if found is NONE else Optional(found)
            if found is NONE:
                if isinstance(value, list):
                    raise CelError(f"index out of bounds: {wanted}")
                raise CelError(f"no such key: {wanted}")
            return found

        return get, type_

    def list(self, node: Node, scope: dict[str, Type]) -> tuple[Eval, Type]:
        items = [self.node(arg, scope)[0] for arg in node.args]
        if not node.optionals:
            return (lambda env: [item(env) for item in items]), "list"
        optional = set(node.optionals)

        def make(env: Env) -> Any:
            out = []
            for i, item in enumerate(items):
                value = item(env)
                if i not in optional:
                    out.append(value)
                elif value.present:
                    out.append(value.value)
            return out

        return make, "list"

    def map(self, node: Node, scope: dict[str, Type]) -> tuple[Eval, Type]:
        pairs = [
            (self.node(node.args[i], scope)[0], self.node(node.args[i + 1], scope)[0])
            for i in range(0, len(node.args), 2)
        ]
        optional = set(node.optionals)
        is_message = node.kind == "message"

        def make(env: Env) -> Any:
            out = {}
            for i, (key, item) in enumerate(pairs):
                value = item(env)
                name = key(env)
                if i in optional:
                    if not value.present:
                        continue
                    value = value.value
                out[unescape(name) if is_message else name] = value
            return out

        return make, DYN if is_message else "map"

    # -- calls ------------------------------------------------------------------------------------------------------

    def call(self, node: Node, scope: dict[str, Type]) -> tuple[Eval, Type]:
        name, args = node.value, node.args
        if node.target is None:
            if name == "has":
                return self.has(node, scope)
            if name in ("_&&_", "_||_"):
                return self.logic(node, scope)
            if name == "_?_:_":
                test, yes, no = (self.node(arg, scope) for arg in args)
                one, two = _scalar(yes[1]), _scalar(no[1])
                return (lambda env: yes[0](env) if truth(test[0](env)) else no[0](env)), one if one == two else DYN
            if name in OPERATORS:
                return self.operator(node, scope)
            return self.function(node, name, scope)
        if node.target.kind == "name" and node.target.value not in scope and node.target.value not in self.variables:
            namespace = node.target.value
            if namespace == "cel" and name == "bind":
                return self.bind(node, scope)
            if namespace in _NAMESPACES and f"{namespace}.{name}" in GLOBAL:
                return self.function(node, f"{namespace}.{name}", scope)
        if name in MACROS and args and args[0].kind == "name":
            return self.macro(node, scope)
        if name in ("optMap", "optFlatMap") and len(args) == 2:
            return self.opt_map(node, scope)
        return self.method(node, scope)

    def function(self, node: Node, name: str, scope: dict[str, Type]) -> tuple[Eval, Type]:
        function = GLOBAL.get(name)
        if function is None:
            raise self.source.error(node.at, f"undeclared reference to '{name}' (in container '')")
        args = [self.node(arg, scope)[0] for arg in node.args]
        return (lambda env: function(*(arg(env) for arg in args))), _RESULTS.get(name)

    def method(self, node: Node, scope: dict[str, Type]) -> tuple[Eval, Type]:
        assert node.target is not None
        name = node.value
        target, of = self.node(node.target, scope)
        args = [self.node(arg, scope)[0] for arg in node.args]
        function = METHODS.get(name)
        if function is None and of is not DYN and not isinstance(of, str):
            raise self.source.error(node.at, f"undeclared reference to '{name}' (in container '')")
        if function is None and name not in _OBJECT_METHODS:
            raise self.source.error(node.at, f"undeclared reference to '{name}' (in container '')")

        def run(env: Env) -> Any:
            value = target(env)
            own = getattr(value, "cel_method", None)
            if own is not None:
                return own(name, [arg(env) for arg in args])
            if function is None:
                raise NoOverload(f"no such overload: {type_name(value)}.{name}")
            return function(value, *(arg(env) for arg in args))

        return run, _RESULTS.get(name)

    def operator(self, node: Node, scope: dict[str, Type]) -> tuple[Eval, Type]:
        name = node.value
        parts = [self.node(arg, scope) for arg in node.args]
        types = [_scalar(part[1]) for part in parts]
        if len(types) == 2 and None not in types and not fits(name, str(types[0]), str(types[1])):
            shown = ", ".join(str(t) for t in types)
            raise self.source.error(node.at, f"found no matching overload for '{name}' applied to '({shown})'")
        run = OPERATORS[name]
        if len(parts) == 1:
            one = parts[0][0]
            return (lambda env: run(one(env))), types[0]
        left, right = parts[0][0], parts[1][0]
        compares = name in ("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "@in")
        result: Type = "bool" if compares else types[0] if types[0] == types[1] else DYN
        return (lambda env: run(left(env), right(env))), result

    def logic(self, node: Node, scope: dict[str, Type]) -> tuple[Eval, Type]:
        (left, a), (right, b) = (self.node(arg, scope) for arg in node.args)
        for type_ in (a, b):
            if _scalar(type_) not in (None, "bool"):
                shown = f"({_scalar(a) or 'dyn'}, {_scalar(b) or 'dyn'})"
                raise self.source.error(node.at, f"found no matching overload for '{node.value}' applied to '{shown}'")
        decides = node.value == "_||_"  # an error on one side is overruled by the other side's decision

        def run(env: Env) -> bool:
            try:
                if truth(left(env)) is decides:
                    return decides
            except CelError:
                if truth(right(env)) is decides:
                    return decides
                raise
            return truth(right(env))

        return run, "bool"

    def has(self, node: Node, scope: dict[str, Type]) -> tuple[Eval, Type]:
        arg = node.args[0]
        if arg.kind != "select" or arg.target is None:
            raise self.source.error(node.at, "invalid argument to has() macro")
        target, of = self.node(arg.target, scope)
        field = unescape(arg.value)
        self._field_type(arg, of, field)

        def run(env: Env) -> bool:
            value = target(env)
            if isinstance(value, dict):
                return field in value
            getter = getattr(value, "cel_field", None)
            if getter is not None:
                return getter(field) is not None
            raise CelError(f"unsupported field selection target: {type_name(value)}")

        return run, "bool"

    def bind(self, node: Node, scope: dict[str, Type]) -> tuple[Eval, Type]:
        name = node.args[0].value
        value, type_ = self.node(node.args[1], scope)
        body, result = self.node(node.args[2], {**scope, name: type_})
        return (lambda env: body({**env, name: value(env)})), result

    def opt_map(self, node: Node, scope: dict[str, Type]) -> tuple[Eval, Type]:
        assert node.target is not None
        target, _ = self.node(node.target, scope)
        name = node.args[0].value
        body, _ = self.node(node.args[1], {**scope, name: DYN})
        flat = node.value == "optFlatMap"

        def run(env: Env) -> Any:
            value = target(env)
            if not value.present:
                return value
            found = body({**env, name: value.value})
            return found if flat else Optional(found)

        return run, DYN

    def macro(self, node: Node, scope: dict[str, Type]) -> tuple[Eval, Type]:
        assert node.target is not None
        target, of = self.node(node.target, scope)
        name, args = node.value, node.args
        two = len(args) >= 3 and args[1].kind == "name" and name in TWO_VARIABLES
        key_name, value_name = str(args[0].value), str(args[1].value) if two else ""
        item: Type = DYN
        key_type: Type = DYN
        if isinstance(of, Schema):
            if of.type == "array":
                item = of.items
                key_type = "int"
            elif of.type == "object":
                item, key_type = of.additional, "string"
        inner = dict(scope)
        if two:
            inner[key_name], inner[value_name] = key_type, item
        else:
            is_map = isinstance(of, Schema) and of.type == "object"
            inner[key_name] = "string" if is_map else item
        bodies = [self.node(arg, inner)[0] for arg in args[2 if two else 1 :]]
        run = MACROS[name]

        def start(env: Env) -> Any:
            value = target(env)
            if isinstance(value, dict):
                pairs: Any = list(value.items())
            elif isinstance(value, list):
                pairs = list(enumerate(value))
            else:
                raise NoOverload(f"no such overload: {name} of {type_name(value)}")
            local = dict(env)
            _spend(env, len(pairs))
            single_is_key = isinstance(value, dict)

            def bound(pair: Any) -> Env:
                if two:
                    local[key_name], local[value_name] = pair
                else:
                    local[key_name] = pair[0] if single_is_key else pair[1]
                return local

            return run(pairs, bodies, bound, two, single_is_key)

        result = "bool" if name in ("all", "exists", "exists_one", "existsOne") else DYN
        return start, result


#: Methods of objects that the host brings (authorizer, request...): they answer `cel_method` themselves.
_OBJECT_METHODS = frozenset(
    {
        "path",
        "group",
        "resource",
        "subresource",
        "namespace",
        "name",
        "check",
        "serviceAccount",
        "allowed",
        "reason",
        "errored",
        "error",
        "requestResource",
        "fieldSelector",
        "labelSelector",
        "includes",
    }
)


def _spend(env: Env, steps: int) -> None:
    left = env[_COUNT]
    left[0] -= steps
    if left[0] < 0:
        raise CelError("operation cancelled: actual cost limit exceeded")
