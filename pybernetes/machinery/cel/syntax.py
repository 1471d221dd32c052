"""Text to syntax tree: tokens and a precedence parser. Macros stay calls here; `program` knows them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from pybernetes.machinery.cel.values import CelError, UInt

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
      | (?P<string>[bB]?[rR]?(?:\"\"\"(?s:.*?)(?<!\\)\"\"\"|'''(?s:.*?)(?<!\\)'''
                    |"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
      | (?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)
      | (?P<int>0x[0-9a-fA-F]+[uU]?|\d+[uU]?)
      | (?P<name>[_a-zA-Z][_a-zA-Z0-9]*)
      | (?P<quoted>`[A-Za-z0-9_.\-/ ]+`)
      | (?P<sign>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}])""",
    re.VERBOSE,
)
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)", re.DOTALL)
RESERVED = frozenset(
    {
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    }
)


@dataclass(slots=True)
class Node:
    """One node. `kind`: const, name, select, index, call, list, map, message. `at`: offset in the text."""

    kind: str
    at: int
    value: Any = None  #: constant, name, field or function
    target: Node | None = None  #: of select, index and method calls
    args: list[Node] = field(default_factory=list)
    optional: bool = False  #: `.?` and `[?`
    optionals: tuple[int, ...] = ()  #: of literals: which entries are optional


class Source:
    """The text, to show where an error is."""

    def __init__(self, text: str) -> None:
        self.text = text

    def error(self, at: int, message: str) -> CelError:
        before = self.text[:at]
        line = before.count("\n") + 1
        column = at - (before.rfind("\n") + 1)
        shown = [*self.text.split("\n"), ""][line - 1]
        return CelError(f"ERROR: <input>:{line}:{column + 1}: {message}\n | {shown}\n | {'.' * column}^")


def _unescape(body: str, raw: bool, as_bytes: bool) -> str | bytes:
    if not raw:

        def one(match: re.Match[str]) -> str:
            code = match[1]
            if code[0] in "xuU":
                return chr(int(code[1:], 16))
            if len(code) == 3 and code.isdigit():
                return chr(int(code, 8))
            return _ESCAPES.get(code, code)

        body = _ESCAPE.sub(one, body)
    if not as_bytes:
        return body
    return bytes(ord(c) for c in body) if all(ord(c) < 256 for c in body) and "\\" not in body else body.encode()


class Parser:
    def __init__(self, text: str) -> None:
        self.source = Source(text)
        self.tokens: list[tuple[str, str, int]] = []
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise self.source.error(at, f"Syntax error: token recognition error at: '{text[at]}'")
            kind = match.lastgroup or ""
            if kind != "space":
                self.tokens.append((kind, match[0], at))
            at = match.end()
        self.tokens.append(("end", "<EOF>", len(text)))
        self.i = 0
        self.depth = 0

    def parse(self) -> Node:
        node = self.expression()
        if self.tokens[self.i][0] != "end":
            self.unexpected()
        return node

    def unexpected(self) -> None:
        kind, text, at = self.tokens[self.i]
        if kind == "end":
            raise self.source.error(at, "Syntax error: mismatched input '<EOF>' expecting an expression")
        raise self.source.error(at, f"Syntax error: extraneous input '{text}' expecting <EOF>")

    def take(self, sign: str) -> bool:
        kind, text, _ = self.tokens[self.i]
        if kind == "sign" and text == sign:
            self.i += 1
            return True
        return False

    def expect(self, sign: str) -> None:
        if not self.take(sign):
            _, text, at = self.tokens[self.i]
            raise self.source.error(at, f"Syntax error: mismatched input '{text}' expecting '{sign}'")

    def expression(self) -> Node:
        self.depth += 1
        if self.depth > 250:
            raise self.source.error(self.tokens[self.i][2], "expression recursion limit exceeded: 250")
        node = self.binary(0)
        if self.take("?"):
            at = node.at
            yes = self.binary(0)
            self.expect(":")
            no = self.expression()
            node = Node("call", at, "_?_:_", None, [node, yes, no])
        self.depth -= 1
        return node

    _LEVELS = (("||",), ("&&",), ("==", "!=", "<", "<=", ">", ">=", "in"), ("+", "-"), ("*", "/", "%"))

    def binary(self, level: int) -> Node:
        if level == len(self._LEVELS):
            return self.unary()
        left = self.binary(level + 1)
        while True:
            kind, text, at = self.tokens[self.i]
            if kind not in ("sign", "name") or text not in self._LEVELS[level]:
                return left
            self.i += 1
            right = self.binary(level + 1)
            left = Node("call", at, "@in" if text == "in" else f"_{text}_", None, [left, right])

    def unary(self) -> Node:
        kind, text, at = self.tokens[self.i]
        if kind == "sign" and text == "!":
            self.i += 1
            return Node("call", at, "!_", None, [self.unary()])
        if kind == "sign" and text == "-":
            self.i += 1
            inner = self.unary()
            if inner.kind == "const" and isinstance(inner.value, int | float) and not isinstance(inner.value, bool):
                return Node("const", at, -inner.value)
            return Node("call", at, "-_", None, [inner])
        return self.member()

    def member(self) -> Node:
        node = self.primary()
        while True:
            at = self.tokens[self.i][2]
            if self.take("."):
                optional = self.take("?")
                kind, name, where = self.tokens[self.i]
                if kind not in ("name", "quoted"):
                    raise self.source.error(where, f"Syntax error: no viable alternative at input '.{name}'")
                self.i += 1
                name = name.strip("`")
                if kind == "name" and not optional and self.take("("):
                    node = Node("call", where, name, node, self.arguments(")"))
                elif kind == "name" and self._is_message(node) and self.take("{"):
                    node = self.message(f"{_path(node)}.{name}", at)
                else:
                    node = Node("select", at, name, node, optional=optional)
            elif self.take("["):
                optional = self.take("?")
                index = self.expression()
                self.expect("]")
                node = Node("index", at, None, node, [index], optional=optional)
            else:
                return node

    def _is_message(self, node: Node) -> bool:
        path = _path(node)
        following = self.tokens[self.i]
        return path.split(".")[0] in ("Object", "JSONPatch") and following[1] == "{"

    def arguments(self, end: str) -> list[Node]:
        found: list[Node] = []
        if self.take(end):
            return found
        while True:
            found.append(self.expression())
            if not self.take(","):
                break
            if end != ")" and self.take(end):
                return found
        self.expect(end)
        return found

    def primary(self) -> Node:
        kind, text, at = self.tokens[self.i]
        self.i += 1
        if kind == "int":
            unsigned = text[-1] in "uU"
            number = int(text.rstrip("uU"), 0) if text[:2].lower() == "0x" else int(text.rstrip("uU"))
            return Node("const", at, UInt(number) if unsigned else number)
        if kind == "float":
            return Node("const", at, float(text))
        if kind == "string":
            return Node("const", at, self.string(text))
        if kind == "sign":
            if text == "(":
                node = self.expression()
                self.expect(")")
                return node
            if text == "[":
                return self.list_literal(at)
            if text == "{":
                return self.map_literal(at)
            if text == ".":
                return self.primary()
        if kind == "name":
            if text in ("true", "false"):
                return Node("const", at, text == "true")
            if text == "null":
                return Node("const", at, None)
            if text in RESERVED:
                raise self.source.error(at, f"reserved identifier: {text}")
            if self.take("("):
                return Node("call", at, text, None, self.arguments(")"))
            if text == "Object" and self.take("{"):
                return self.message(text, at)
            if text == "JSONPatch" and self.take("{"):
                return self.message(text, at)
            return Node("name", at, text)
        self.i -= 1
        self.unexpected()
        raise AssertionError

    def string(self, text: str) -> str | bytes:
        start = len(text) - len(text.lstrip("bBrR"))
        prefix, body = text[:start].lower(), text[start:]
        quote = body[:3] if body[:3] in ('"""', "'''") else body[:1]
        return _unescape(body[len(quote) : -len(quote)], "r" in prefix, "b" in prefix)

    def list_literal(self, at: int) -> Node:
        items: list[Node] = []
        optionals: list[int] = []
        while not self.take("]"):
            if self.take("?"):
                optionals.append(len(items))
            items.append(self.expression())
            if not self.take(","):
                self.expect("]")
                break
        return Node("list", at, None, None, items, optionals=tuple(optionals))

    def map_literal(self, at: int) -> Node:
        items: list[Node] = []
        optionals: list[int] = []
        while not self.take("}"):
            if self.take("?"):
                optionals.append(len(items) // 2)
            items.append(self.expression())
            self.expect(":")
            items.append(self.expression())
            if not self.take(","):
                self.expect("}")
                break
        return Node("map", at, None, None, items, optionals=tuple(optionals))

    def message(self, name: str, at: int) -> Node:
        items: list[Node] = []
        optionals: list[int] = []
        while not self.take("}"):
            if self.take("?"):
                optionals.append(len(items) // 2)
            kind, key, where = self.tokens[self.i]
            if kind not in ("name", "quoted"):
                raise self.source.error(where, f"Syntax error: mismatched input '{key}' expecting IDENTIFIER")
            self.i += 1
            items.append(Node("const", where, key.strip("`")))
            self.expect(":")
            items.append(self.expression())
            if not self.take(","):
                self.expect("}")
                break
        return Node("message", at, name, None, items, optionals=tuple(optionals))


def _path(node: Node) -> str:
    if node.kind == "name":
        return str(node.value)
    if node.kind == "select" and node.target is not None and not node.optional:
        return f"{_path(node.target)}.{node.value}"
    return ""
