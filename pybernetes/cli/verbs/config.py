"""`kubectl config`: look at and change kubeconfig files."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pybernetes.cli.command import PRINT, Command, Run
from pybernetes.cli.configfiles import LISTS, PATHS, Entry, Files, normal
from pybernetes.cli.errors import CLIError

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session

_SECRET = ("certificate-authority-data", "client-certificate-data", "client-key-data")
#: Upstream's order of fields, which JSON keeps.
_FIELDS = """
    kind apiVersion preferences clusters users contexts current-context name cluster user context server
    tls-server-name insecure-skip-tls-verify certificate-authority certificate-authority-data client-certificate
    client-certificate-data client-key client-key-data token tokenFile as as-uid as-groups as-user-extra username
    password auth-provider exec namespace proxy-url disable-compression command args env apiVersion installHint
    provideClusterInfo interactiveMode extensions extension
"""
_ORDER = _FIELDS.split()


def _files(flags: Flags) -> Files:
    return Files(flags.text("kubeconfig"))


def _many(words: list[str]) -> str:
    return f"Unexpected args: [{' '.join(words)}]"


def _one(arguments: list[str], command: str, missing: str = "") -> str:
    if not arguments and missing:
        hint = f"\nSee 'kubectl config {command} -h' for help and examples" if command == "delete-user" else ""
        raise CLIError(missing + hint)
    if len(arguments) != 1:
        raise CLIError(_many(arguments))
    return arguments[0]


# Looking


def _view(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    from pybernetes.cli.printers import objects

    if arguments:
        raise CLIError(_many(arguments))
    if not flags.on("merge") and not flags.text("kubeconfig"):
        raise CLIError("if merge==false a precise file must be specified")
    files = _files(flags)
    current = flags.text("context") or files.current
    parts = {part: files.entries(part) for part in LISTS}
    if flags.on("minify"):
        if not current:
            raise CLIError("current-context must exist in order to minify")
        if current not in parts["contexts"]:
            raise CLIError(f"cannot locate context {current}")
        context = parts["contexts"][current][0]
        kept = {"contexts": current, "clusters": context.get("cluster"), "users": context.get("user")}
        parts = {part: {n: e for n, e in entries.items() if n == kept[part]} for part, entries in parts.items()}
    shown: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "current-context": current}
    for part, key in LISTS.items():
        entries = [
            {"name": name, key: _shown(flags, part, entry, path)} for name, (entry, path) in sorted(parts[part].items())
        ]
        shown[part] = entries or None
    for name in ("preferences", "extensions"):
        if (found := files.other(name)) is not None:
            shown[name] = found
    output = flags.text("output") or "yaml"
    session.out.write(_json(shown) if output == "json" else objects.printer(flags, output)(shown))
    return None


def _shown(flags: Flags, part: str, entry: Entry, path: Path) -> Entry:
    value = normal(part, entry)
    if value.get("exec"):
        value["exec"].setdefault("interactiveMode", "IfAvailable")
    if flags.on("flatten"):
        for name in PATHS[:3]:
            if value.get(name):
                full = path.absolute().parent / value.pop(name)
                try:
                    value[f"{name}-data"] = base64.b64encode(full.read_bytes()).decode()
                except OSError as error:
                    raise CLIError(f"open {full}: {(error.strerror or '').lower()}") from None
    elif not flags.on("raw"):
        value |= {name: "DATA+OMITTED" for name in _SECRET if value.get(name)}
    if not flags.on("raw"):
        value |= {name: "REDACTED" for name in ("token", "password") if value.get(name)}
    return value


def _json(value: Any) -> str:
    import json

    def ordered(item: Any) -> Any:
        if isinstance(item, list):
            return [ordered(i) for i in item]
        if isinstance(item, dict):
            keys = sorted(item, key=lambda k: _ORDER.index(k) if k in _ORDER else len(_ORDER))
            return {k: ordered(item[k]) for k in keys}
        return item

    return json.dumps(ordered(value), indent=4, ensure_ascii=False) + "\n"


def _current(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    if not (name := _files(flags).current):
        raise CLIError("current-context is not set")
    session.say(name)
    return None


def _get_contexts(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    from pybernetes.cli.printers.tabwriter import table

    files = _files(flags)
    contexts = files.entries("contexts")
    missing = [name for name in arguments if name not in contexts]
    names = [name for name in arguments or sorted(contexts) if name in contexts]
    if flags.text("output") == "name":
        for name in names:
            session.say(name)
    else:
        rows = [] if flags.on("no-headers") else [["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"]]
        for name in names:
            c = contexts[name][0]
            mark = "*" if name == files.current else ""
            rows.append([mark, name, c.get("cluster") or "", c.get("user") or "", c.get("namespace") or ""])
        session.out.write(table(rows))
    if missing:
        raise CLIError(f"context {missing[0]} not found")
    return None


def _names(part: str) -> Run:
    def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
        session.say("NAME")
        for name in sorted(_files(flags).entries(part)):
            session.say(name)
        return None

    return run


# Changing


def _use(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    name = _one(arguments, "use-context")
    files = _files(flags)
    if name not in files.entries("contexts"):
        raise CLIError(f'no context exists with the name: "{name}"')
    files.use(name)
    files.save()
    session.say(f'Switched to context "{name}".')
    return None


def _setter(part: str, change: Callable[[Flags, Entry, Path], None]) -> Run:
    key = LISTS[part]

    def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
        files = _files(flags)
        if part == "contexts":
            if flags.on("current"):
                if not (name := files.current):
                    raise CLIError("no current context is set")
            else:
                name = _one(arguments, "set-context", "you must specify a non-empty context name or --current")
        else:
            name = _one(arguments, f"set-{key}")
        entry, path, new = files.entry(part, name)
        change(flags, entry, path)
        files.save()
        said = ("created" if new else "modified") if part == "contexts" else "set"
        session.say(f'{key.capitalize()} "{name}" {said}.')
        return None

    return run


def _texts(flags: Flags, entry: Entry, names: tuple[str, ...]) -> None:
    for name in names:
        if flags.given(name):
            entry[name] = flags.text(name)
            if not entry[name]:
                del entry[name]


def _set_context(flags: Flags, entry: Entry, path: Path) -> None:
    _texts(flags, entry, ("cluster", "user", "namespace"))


def _file_or_data(flags: Flags, entry: Entry, path: Path, name: str) -> None:
    if not flags.given(name):
        return
    given = flags.text(name)
    entry.pop(f"{name}-data", None)
    entry.pop(name, None)
    if flags.on("embed-certs") and given:
        try:
            entry[f"{name}-data"] = base64.b64encode(Path(given).read_bytes()).decode()
        except OSError as error:
            why = (error.strerror or "").lower()
            raise CLIError(f"could not stat {name} file {given}: stat {given}: {why}") from None
    elif given:
        entry[name] = Files.relative(given, path)


def _set_cluster(flags: Flags, entry: Entry, path: Path) -> None:
    _texts(flags, entry, ("server", "tls-server-name", "proxy-url"))
    if flags.given("insecure-skip-tls-verify"):
        entry.pop("insecure-skip-tls-verify", None)
        if flags.on("insecure-skip-tls-verify"):
            entry["insecure-skip-tls-verify"] = True
            for name in ("certificate-authority", "certificate-authority-data"):
                entry.pop(name, None)
    _file_or_data(flags, entry, path, "certificate-authority")
    if flags.text("certificate-authority"):
        entry.pop("insecure-skip-tls-verify", None)


def _set_user(flags: Flags, entry: Entry, path: Path) -> None:
    if flags.given("token") and (flags.given("username") or flags.given("password")):
        raise CLIError(
            "you cannot specify more than one authentication method at the same time: --token or --username/--password"
        )
    _texts(flags, entry, ("token", "username", "password"))
    if flags.text("token"):
        for name in ("username", "password"):
            entry.pop(name, None)
    elif flags.text("username") or flags.text("password"):
        entry.pop("token", None)
    for name in ("client-certificate", "client-key"):
        _file_or_data(flags, entry, path, name)
    if flags.given("auth-provider"):
        provider = entry.setdefault("auth-provider", {"config": {}})
        provider["name"] = flags.text("auth-provider")
    for pair in flags.many("auth-provider-arg"):
        key, equals, value = pair.partition("=")
        config = entry.setdefault("auth-provider", {"config": {}, "name": ""}).setdefault("config", {})
        if equals:
            config[key] = value
        else:
            config.pop(key.removesuffix("-"), None)
    if any(flags.given(name) for name in _EXEC) or flags.many("exec-arg") or flags.many("exec-env"):
        _set_exec(flags, entry.setdefault("exec", {"args": None, "env": None, "provideClusterInfo": False}))


_EXEC = ("exec-command", "exec-api-version", "exec-interactive-mode", "exec-provide-cluster-info")


def _set_exec(flags: Flags, plugin: Entry) -> None:
    for flag, name in zip(_EXEC[:3], ("command", "apiVersion", "interactiveMode"), strict=True):
        if flags.given(flag):
            plugin[name] = flags.text(flag)
    if flags.given("exec-provide-cluster-info"):
        plugin["provideClusterInfo"] = flags.on("exec-provide-cluster-info")
    if flags.many("exec-arg"):
        plugin["args"] = [a for given in flags.many("exec-arg") for a in given.split(",")]
    for pair in flags.many("exec-env"):
        key, equals, value = pair.partition("=")
        kept = [e for e in plugin.get("env") or () if e["name"] != key.removesuffix("-" if not equals else "")]
        plugin["env"] = [*kept, {"name": key, "value": value}] if equals else kept


def _deleter(part: str) -> Run:
    word = LISTS[part]

    def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
        files = _files(flags)
        name = _one(arguments, f"delete-{word}", "user to delete is required" if part == "users" else "")
        if name not in files.entries(part):
            raise CLIError(f"cannot delete {word} {name}, not in {files.default}")
        if part == "contexts" and files.current == name:
            session.warn(
                'warning: this removed your active context, use "kubectl config use-context" to select a different one'
            )
        files.remove(part, name)
        files.save()
        session.say(f"deleted {word} {name} from {files.default}")
        return None

    return run


def _rename(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    if len(arguments) != 2:
        raise CLIError(_many(arguments))
    old, new = arguments
    files = _files(flags)
    contexts = files.entries("contexts")
    if old not in contexts:
        raise CLIError(f'cannot rename the context "{old}", it\'s not in {files.default}')
    if new in contexts:
        raise CLIError(f'cannot rename the context "{old}", the context "{new}" already exists in {files.default}')
    entry, path = contexts[old]
    was_current = files.current == old
    files.remove("contexts", old)
    content = files.content(path)
    content["contexts"] = [*content["contexts"], {"name": new, "context": entry}]
    if was_current:
        files.use(new)
    files.save()
    session.say(f'Context "{old}" renamed to "{new}".')
    return None


_BOOLEAN = ("insecure-skip-tls-verify", "disable-compression", "colors")


def _split(path: str) -> tuple[str, str, str]:
    """`contexts.NAME.namespace` in its three parts; the name may hold dots."""
    parts = path.split(".")
    if parts[0] == "current-context" and len(parts) == 1:
        return parts[0], "", ""
    if parts[0] not in LISTS:
        raise CLIError(f"unable to parse {path} after [] at api.Config")
    return parts[0], ".".join(parts[1:-1] if len(parts) > 2 else parts[1:]), parts[-1] if len(parts) > 2 else ""


def _set(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    if len(arguments) != 2:
        raise CLIError(_many(arguments))
    files = _files(flags)
    part, name, key = _split(arguments[0])
    value: Any = arguments[1]
    if not name:
        if part != "current-context":
            raise CLIError(f"can't set a map to a value: {part}")
        files.use(value)
    else:
        if not key:
            raise CLIError(f"can't set a map to a value: {arguments[0]}")
        if key in _BOOLEAN:
            if value.lower() not in ("true", "false", "1", "0", "t", "f"):
                raise CLIError(f'strconv.ParseBool: parsing "{value}": invalid syntax')
            value = value.lower() in ("true", "1", "t")
        if key.endswith("-data"):
            value = _data(flags, value)
        entry, _, _ = files.entry(part, name)
        entry[key] = value
    files.save()
    session.say(f'Property "{arguments[0]}" set.')
    return None


def _data(flags: Flags, value: str) -> str:
    """Base64 as it is, or raw bytes encoded."""
    if flags.on("set-raw-bytes"):
        return base64.b64encode(value.encode()).decode()
    try:
        base64.b64decode(value, validate=True)
    except ValueError:
        at = len(value) - len(value) % 4
        raise CLIError(f"error decoding input value: illegal base64 data at input byte {at}") from None
    return value


def _unset(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    path = _one(arguments, "unset")
    files = _files(flags)
    part, name, key = _split(path)
    entries = files.entries(part) if part in LISTS else {}
    if part == "current-context":
        files.use("")
    elif not name:
        for each in list(entries):
            files.remove(part, each)
    elif not key:
        if name in entries:
            files.remove(part, name)
    elif name in entries:
        entries[name][0].pop(key, None)
    files.save()
    session.say(f'Property "{path}" unset.')
    return None


_USE = Command("Set the current-context in a kubeconfig file.", usage="kubectl config use-context CONTEXT", run=_use)

COMMAND = Command(
    'Modify kubeconfig files using subcommands like "kubectl config set current-context my-context".',
    usage="kubectl config SUBCOMMAND",
    subcommands={
        "current-context": Command("Display the current-context.", run=_current),
        "delete-cluster": Command("Delete the specified cluster from the kubeconfig.", run=_deleter("clusters")),
        "delete-context": Command("Delete the specified context from the kubeconfig.", run=_deleter("contexts")),
        "delete-user": Command("Delete the specified user from the kubeconfig.", run=_deleter("users")),
        "get-clusters": Command("Display clusters defined in the kubeconfig.", run=_names("clusters")),
        "get-contexts": Command("Describe one or many contexts.", flags="no-headers? o:output=", run=_get_contexts),
        "get-users": Command("Display users defined in the kubeconfig.", run=_names("users")),
        "rename-context": Command("Rename a context from the kubeconfig file.", run=_rename),
        "set": Command("Set an individual value in a kubeconfig file.", flags="set-raw-bytes?", run=_set),
        "set-cluster": Command(
            "Set a cluster entry in kubeconfig.", flags="embed-certs?", run=_setter("clusters", _set_cluster)
        ),
        "set-context": Command(
            "Set a context entry in kubeconfig.", flags="current?", run=_setter("contexts", _set_context)
        ),
        "set-credentials": Command(
            "Set a user entry in kubeconfig.",
            flags="embed-certs? auth-provider= auth-provider-arg* exec-command= exec-api-version= exec-arg* exec-env* "
            "exec-interactive-mode= exec-provide-cluster-info?",
            run=_setter("users", _set_user),
        ),
        "unset": Command("Unset an individual value in a kubeconfig file.", run=_unset),
        "use-context": _USE,
        "use": _USE,
        "view": Command(
            "Display merged kubeconfig settings or a specified kubeconfig file.",
            flags=f"{PRINT} flatten? merge?true minify? raw?",
            run=_view,
        ),
    },
)
