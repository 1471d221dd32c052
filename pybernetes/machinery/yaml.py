"""YAML as Kubernetes reads and writes it (sigs.k8s.io/yaml): a notation for JSON with old habits.

On top of PyYAML's C parser and emitter, which share their ancestry with upstream's, this fixes what the two make of
plain scalars: `yes` and `y` are booleans, `80:80` and dates are strings, `1e3` is a number, `010` is octal, and every
key is a string. Errors carry upstream's text (`yaml: line 4: ...`) and, for tabs, a hint. Imported only where YAML is
used: PyYAML costs 15 ms.
"""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import yaml as _yaml

__all__ = ["YAMLError", "dump", "dump_all", "load", "load_all"]

try:
    _Loader: Any = _yaml.CLoader
    _Dumper: Any = _yaml.CDumper
except AttributeError:  # PyYAML without libyaml: slower, the same results
    _Loader, _Dumper = _yaml.Loader, _yaml.Dumper


class YAMLError(ValueError):
    """Text that is not YAML. `hint` says in plain words what to do, where there is something to say."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS: Final = {
    form: value
    for word, value in (
        ("y", True),
        ("yes", True),
        ("true", True),
        ("on", True),
        ("n", False),
        ("no", False),
        ("false", False),
        ("off", False),
    )
    for form in (word, word.capitalize(), word.upper())
}
_INT: Final = re.compile(r"[-+]?(0x[0-9a-fA-F]+|0b[01]+|0o?[0-7]*|[1-9][0-9]*)", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_INF: Final = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_TIMESTAMP: Final = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}(([Tt]|[ \t]+)\d{1,2}:\d{1,2}:\d{1,2}(\.\d*)?([ \t]*(Z|[-+]\d{1,2}(:\d{1,2})?))?)?", re.ASCII
)
_BASE60: Final = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?", re.ASCII)


def _resolve(text: str) -> Any:
    """The value of a plain scalar."""
    if text in _NULLS:
        return None
    first = text[0]
    if first in "yYnNtTfFoO":
        return _BOOLS.get(text, text)
    if first in "0123456789+-.":
        plain = text.replace("_", "")
        if _INT.fullmatch(plain):
            return _integer(plain)
        if _FLOAT.fullmatch(plain):
            number = float(plain)  # on its way to JSON a whole number loses its fraction
            return int(number) if abs(number) < 1e21 and number.is_integer() else number
        if match := _INF.fullmatch(text):
            return float("nan") if match.group(3) else float(f"{match.group(1)}inf")
    return text


def _integer(text: str) -> int:
    sign = -1 if text[0] == "-" else 1
    digits = text.lstrip("+-")
    if digits[:2] in ("0x", "0b", "0o"):
        return sign * int(digits, 0)
    return sign * (int(digits, 8) if len(digits) > 1 and digits[0] == "0" else int(digits))


class _KubeLoader(_Loader):  # type: ignore[misc]
    """Composes nodes in C and builds values here; `repeated` collects keys that a map has twice."""

    repeated: list[str]
    old_booleans: bool

    def build(self, node: Any) -> Any:
        return self._value(node, 0)

    def _value(self, node: Any, depth: int) -> Any:
        if depth > 500:
            raise YAMLError("yaml: exceeded max depth of 500")
        if isinstance(node, _yaml.ScalarNode):
            return self._scalar(node)
        if isinstance(node, _yaml.SequenceNode):
            return [self._value(item, depth + 1) for item in node.value]
        made: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge" or (
                isinstance(key_node, _yaml.ScalarNode) and key_node.value == "<<" and not key_node.style
            ):
                self._merge(value_node, merged, depth)
                continue
            key = _key_text(self._value(key_node, depth + 1), key_node)
            if key in made:
                self.repeated.append(f'line {key_node.start_mark.line + 1}: key "{key}" already set in map')
            made[key] = self._value(value_node, depth + 1)
        for key, value in merged.items():
            made.setdefault(key, value)
        return made

    def _merge(self, node: Any, merged: dict[str, Any], depth: int) -> None:
        sources = node.value if isinstance(node, _yaml.SequenceNode) else [node]
        for source in sources:
            value = self._value(source, depth + 1)
            if not isinstance(value, dict):
                raise YAMLError("yaml: map merge requires map or sequence of maps as the value")
            for key, item in value.items():
                merged.setdefault(key, item)

    def _scalar(self, node: Any) -> Any:
        text: str = node.value
        tag: str = node.tag
        if node.style:
            return text if tag != "tag:yaml.org,2002:binary" else _binary(text)
        if tag == "tag:yaml.org,2002:binary":
            return _binary(text)
        if tag == "tag:yaml.org,2002:float":
            try:
                return float(text)
            except ValueError as error:
                raise YAMLError(f"yaml: cannot decode !!str `{text}` as a !!float") from error
        value = text if tag == _STR_TAG else _resolve(text)
        if isinstance(value, bool) and not self.old_booleans and text.lower() not in ("true", "false"):
            return text
        return value


_STR_TAG: Final = "tag:yaml.org,2002:str"
#: What the empty resolver gives to plain scalars: `!!str` written out is told apart from it.
_PLAIN_TAG: Final = "plain"
_KubeLoader.yaml_implicit_resolvers = {}
_KubeLoader.DEFAULT_SCALAR_TAG = _PLAIN_TAG


def _binary(text: str) -> str:
    return base64.b64decode(text).decode("utf-8", "replace")


def _key_text(key: Any, node: Any) -> str:
    if isinstance(key, str):
        return key
    if key is True or key is False:
        return "true" if key else "false"
    if isinstance(key, int | float):
        return str(key)
    if key is None:
        return "null"
    raise YAMLError(f"yaml: line {node.start_mark.line + 1}: unsupported map key of type: {type(key).__name__}")


def load_all(text: str | bytes, *, repeated: list[str] | None = None, old_booleans: bool = True) -> Iterator[Any]:
    """The documents of a stream, one by one; empty ones are left out. Raises YAMLError at the bad place.

    `repeated` receives `line 5: key "name" already set in map` for keys that occur twice (the last one wins). Without
    `old_booleans`, `yes`, `n`, `on` and the like are texts, as kustomize has it.
    """
    try:
        loader = _KubeLoader(text)
    except _yaml.YAMLError as error:
        raise _error(error) from None
    loader.repeated = repeated if repeated is not None else []
    loader.old_booleans = old_booleans
    try:
        while loader.check_node():
            value = loader.build(loader.get_node())
            if value is not None:
                yield value
    except _yaml.YAMLError as error:
        raise _error(error) from None
    except RecursionError:
        raise YAMLError("yaml: exceeded max depth") from None
    finally:
        loader.dispose()


def load(text: str | bytes, *, repeated: list[str] | None = None) -> Any:
    """The first document of a stream (None when there is none). JSON is read as such. Raises YAMLError."""
    head = text[:64].lstrip()
    if head[:1] in ("{", b"{"):
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            pass  # a YAML flow mapping, or broken: YAML knows the line
    return next(load_all(text, repeated=repeated), None)


def _error(error: Any) -> YAMLError:
    """Upstream's line is one short for errors of the parser (not of the scanner), and so is ours."""
    problem = str(getattr(error, "problem", None) or error).strip()
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if isinstance(error, _yaml.reader.ReaderError):
        return YAMLError("yaml: control characters are not allowed")
    hint = ""
    if "cannot start any token" in problem:  # what is there differs between the C and the Python scanner
        problem = "found character that cannot start any token"
        hint = "a tab, `@` or backquote is not allowed there: indent with spaces, quote the text"
    if mark is not None and mark.line:
        line = mark.line + (1 if isinstance(error, _yaml.scanner.ScannerError) else 0)
        return YAMLError(f"yaml: line {line}: {problem}", hint)
    return YAMLError(f"yaml: {problem}", hint)


# Writing


class _KubeDumper(_Dumper):  # type: ignore[misc]
    def ignore_aliases(self, data: Any) -> bool:
        return True


_KubeDumper.yaml_implicit_resolvers = {}


def _represent_text(dumper: Any, text: str) -> Any:
    if "\n" in text:
        style = "|"
    elif _needs_quotes(text):
        style = '"'
    else:
        style = None
    return dumper.represent_scalar(_STR_TAG, text, style=style)


def _needs_quotes(text: str) -> bool:
    """True for a text that would be read back as something else."""
    value = _resolve(text)
    if not isinstance(value, str):
        return True
    first = text[0]
    return (first in "0123456789+-" and bool(_TIMESTAMP.fullmatch(text) or _BASE60.fullmatch(text))) or text == "<<"


def _represent_plain(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar(_STR_TAG, text)


def _represent_map(dumper: Any, value: dict[str, Any]) -> Any:
    keys = list(value)
    keys.sort() if all(type(k) is str and k.isascii() and k.isalpha() for k in keys) else keys.sort(key=_order)
    return dumper.represent_mapping("tag:yaml.org,2002:map", [(k, value[k]) for k in keys], flow_style=not keys)


def _represent_list(dumper: Any, value: list[Any]) -> Any:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=not value)


def _represent_float(dumper: Any, value: float) -> Any:
    from pybernetes.machinery.text import show_float

    return _represent_plain(dumper, show_float(value))


_KubeDumper.add_representer(str, _represent_text)
_KubeDumper.add_representer(dict, _represent_map)
_KubeDumper.add_representer(list, _represent_list)
_KubeDumper.add_representer(tuple, _represent_list)
_KubeDumper.add_representer(bool, lambda dumper, value: _represent_plain(dumper, "true" if value else "false"))
_KubeDumper.add_representer(int, lambda dumper, value: _represent_plain(dumper, str(value)))
_KubeDumper.add_representer(float, _represent_float)
_KubeDumper.add_representer(type(None), lambda dumper, _: _represent_plain(dumper, "null"))


def _compare(a: Any, b: Any) -> int:
    """Upstream's order of keys: letters by code, digits as numbers, other characters before letters."""
    x, y = str(a), str(b)
    for i in range(min(len(x), len(y))):
        p, q = x[i], y[i]
        if p == q:
            continue
        if p.isalpha() and q.isalpha():
            return -1 if p < q else 1
        if p.isalpha() or q.isalpha():
            return -1 if q.isalpha() else 1
        return _compare_digits(x, y, i)
    return (len(x) > len(y)) - (len(x) < len(y))


def _compare_digits(x: str, y: str, i: int) -> int:
    lead = ""
    if "0" in (x[i], y[i]):  # a zero inside a number counts, a leading one does not
        j = i - 1
        while j >= 0 and x[j].isdigit():
            if x[j] != "0":
                lead = "1"
                break
            j -= 1
    p, q = _digits(x, i), _digits(y, i)
    m, n = int(lead + p or "0"), int(lead + q or "0")
    if m != n:
        return -1 if m < n else 1
    if len(p) != len(q):
        return -1 if len(p) < len(q) else 1
    return -1 if x[i] < y[i] else 1


def _digits(text: str, start: int) -> str:
    end = start
    while end < len(text) and text[end] in "0123456789":
        end += 1
    return text[start:end]


_order = functools.cmp_to_key(_compare)


def dump(value: Any) -> str:
    """A document: keys sorted, list items not indented, strings quoted where they would be read as something else."""
    if isinstance(value, msgspec.Struct):
        value = msgspec.to_builtins(value)
    return str(
        _yaml.dump(value, Dumper=_KubeDumper, allow_unicode=True, default_flow_style=False, sort_keys=False, width=80)
    ).removesuffix("...\n")


def dump_all(values: list[Any]) -> str:
    """Several documents, parted by `---`."""
    return "---\n".join(dump(value) for value in values)
