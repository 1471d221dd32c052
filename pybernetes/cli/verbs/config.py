"""`kubectl config`: look at and change kubeconfig files."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pybernetes.cli.command import Command, Run
from pybernetes.cli.errors import CLIError

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session

_LISTS = {"clusters": "cluster", "contexts": "context", "users": "user"}
_SECRET = ("certificate-authority-data", "client-certificate-data", "client-key-data")


def _file(flags: Flags) -> Path:
    """The file that is written: the given one, else the first of KUBECONFIG, else the one at home."""
    from pybernetes.client import kubeconfig

    return kubeconfig.paths(flags.text("kubeconfig"))[0]


def _load(flags: Flags) -> dict[str, Any]:
    from pybernetes.machinery import yaml

    path = _file(flags)
    try:
        found = yaml.load(path.read_bytes())
    except FileNotFoundError:
        found = None
    except yaml.YAMLError as error:
        raise CLIError(f'error loading config file "{path}": {error}') from None
    config = found if isinstance(found, dict) else {}
    for name in _LISTS:
        config[name] = config.get(name) or []
    return {"apiVersion": "v1", "kind": "Config", "current-context": "", **config}


def _save(flags: Flags, config: dict[str, Any]) -> None:
    from pybernetes.machinery import yaml

    path = _file(flags)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(yaml.dump(config))
    temporary.replace(path)


def _merged(session: Session) -> dict[str, Any]:
    k = session.kubeconfig
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": k.current_context,
        "clusters": [{"name": n, "cluster": v} for n, v in sorted(k.clusters.items())] or None,
        "contexts": [{"name": n, "context": v} for n, v in sorted(k.contexts.items())] or None,
        "users": [{"name": n, "user": v} for n, v in sorted(k.users.items())] or None,
    }


def _view(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    from pybernetes.cli.printers import objects

    config = _merged(session)
    current = session.flags.text("context") or config["current-context"]
    if flags.on("minify"):
        context = next((c for c in config["contexts"] or () if c["name"] == current), None)
        if context is None:
            raise CLIError(
                f"cannot locate context {current}" if current else "current-context must exist in order to minify"
            )
        config["current-context"] = current
        config["contexts"] = [context]
        for part, key in (("clusters", "cluster"), ("users", "user")):
            config[part] = [e for e in config[part] or () if e["name"] == context["context"].get(key)] or None
    for part, key in _LISTS.items():
        shown = []
        for entry in config[part] or ():
            value = dict(entry[key])
            if flags.on("flatten"):
                for name in ("certificate-authority", "client-certificate", "client-key"):
                    if value.get(name):
                        value[f"{name}-data"] = base64.b64encode(Path(value.pop(name)).read_bytes()).decode()
            if not flags.on("raw") and not flags.on("flatten"):
                for name in _SECRET:
                    if value.get(name):
                        value[name] = "DATA+OMITTED"
            if not flags.on("raw"):
                for name in ("token", "password"):
                    if value.get(name):
                        value[name] = "REDACTED"
            shown.append({"name": entry["name"], key: value})
        config[part] = shown or None
    session.out.write(objects.printer(flags, flags.text("output") or "yaml")(config))
    return None


def _current(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    if not session.kubeconfig.current_context:
        raise CLIError("current-context is not set")
    session.say(session.kubeconfig.current_context)
    return None


def _use(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    name = _one(arguments, "use-context")
    if name not in session.kubeconfig.contexts:
        raise CLIError(f'no context exists with the name: "{name}"')
    config = _load(flags)
    config["current-context"] = name
    _save(flags, config)
    session.say(f'Switched to context "{name}".')
    return None


def _one(arguments: list[str], command: str) -> str:
    if len(arguments) != 1:
        raise CLIError(f"Unexpected args: {arguments}\nSee 'kubectl config {command} -h' for help and examples")
    return arguments[0]


def _get_contexts(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    from pybernetes.cli.printers.tabwriter import table

    k = session.kubeconfig
    for name in arguments:
        if name not in k.contexts:
            raise CLIError(f"context {name} not found")
    names = arguments or sorted(k.contexts)
    if flags.text("output") == "name":
        for name in names:
            session.say(name)
        return None
    rows = [] if flags.on("no-headers") else [["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"]]
    for name in names:
        c = k.contexts[name]
        mark = "*" if name == k.current_context else ""
        rows.append([mark, name, c.get("cluster", ""), c.get("user", ""), c.get("namespace", "")])
    session.out.write(table(rows))
    return None


def _names(part: str) -> Run:
    def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
        session.say("NAME")
        for name in sorted(getattr(session.kubeconfig, part)):
            session.say(name)
        return None

    return run


def _entry(config: dict[str, Any], part: str, name: str) -> tuple[dict[str, Any], bool]:
    key = _LISTS[part]
    for entry in config[part]:
        if entry["name"] == name:
            entry[key] = entry.get(key) or {}
            found: dict[str, Any] = entry[key]
            return found, False
    made: dict[str, Any] = {}
    config[part].append({"name": name, key: made})
    config[part].sort(key=lambda e: e["name"])
    return made, True


def _setter(part: str, title: str, change: Callable[[Flags, dict[str, Any]], None]) -> Run:
    def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
        config = _load(flags)
        if part == "contexts" and flags.on("current"):
            name = config["current-context"]
            if not name:
                raise CLIError("no current context is set")
        else:
            name = _one(arguments, f"set-{_LISTS[part]}")
        entry, new = _entry(config, part, name)
        change(flags, entry)
        _save(flags, config)
        if part == "users":
            session.say(f'User "{name}" set.')
        elif part == "clusters":
            session.say(f'Cluster "{name}" set.')
        else:
            session.say(f'Context "{name}" {"created" if new else "modified"}.')
        return None

    return run


def _set_context(flags: Flags, entry: dict[str, Any]) -> None:
    for name in ("cluster", "user", "namespace"):
        if flags.given(name):
            entry[name] = flags.text(name)


def _embed(flags: Flags, entry: dict[str, Any], name: str) -> None:
    if not flags.given(name):
        return
    path = flags.text(name)
    entry.pop(f"{name}-data", None)
    entry.pop(name, None)
    if flags.on("embed-certs"):
        try:
            entry[f"{name}-data"] = base64.b64encode(Path(path).read_bytes()).decode()
        except OSError as error:
            raise CLIError(f"could not read {name} data from {path}: {error.strerror}") from None
    elif path:
        entry[name] = os.path.abspath(path)


def _set_cluster(flags: Flags, entry: dict[str, Any]) -> None:
    for name in ("server", "tls-server-name", "proxy-url"):
        if flags.given(name):
            entry[name] = flags.text(name)
    if flags.given("insecure-skip-tls-verify"):
        entry["insecure-skip-tls-verify"] = flags.on("insecure-skip-tls-verify")
    _embed(flags, entry, "certificate-authority")


def _set_user(flags: Flags, entry: dict[str, Any]) -> None:
    for name in ("token", "username", "password"):
        if flags.given(name):
            entry[name] = flags.text(name)
    _embed(flags, entry, "client-certificate")
    _embed(flags, entry, "client-key")
    if flags.given("exec-command"):
        entry["exec"] = {
            "command": flags.text("exec-command"),
            "apiVersion": flags.text("exec-api-version") or "client.authentication.k8s.io/v1",
            "args": [a for given in flags.many("exec-arg") for a in given.split(",")] or None,
            "env": [dict(zip(("name", "value"), e.split("=", 1), strict=True)) for e in flags.many("exec-env")] or None,
            "interactiveMode": "IfAvailable",
            "provideClusterInfo": False,
        }


def _deleter(part: str, word: str) -> Run:
    def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
        name = _one(arguments, f"delete-{word}")
        config = _load(flags)
        kept = [e for e in config[part] if e["name"] != name]
        if len(kept) == len(config[part]):
            raise CLIError(f"cannot delete {word} {name}, not in {_file(flags)}")
        config[part] = kept
        if part == "contexts" and config["current-context"] == name:
            session.warn(
                'warning: this removed your active context, use "kubectl config use-context" to select a different one'
            )
        _save(flags, config)
        session.say(f"deleted {word} {name} from {_file(flags)}")
        return None

    return run


def _rename(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    if len(arguments) != 2:
        raise CLIError("Unexpected args\nSee 'kubectl config rename-context -h' for help and examples")
    old, new = arguments
    config = _load(flags)
    entries = {e["name"]: e for e in config["contexts"]}
    if old not in entries:
        raise CLIError(f'cannot rename the context "{old}", it\'s not in {_file(flags)}')
    if new in entries:
        raise CLIError(f'cannot rename the context "{old}", the context "{new}" already exists in {_file(flags)}')
    entries[old]["name"] = new
    if config["current-context"] == old:
        config["current-context"] = new
    _save(flags, config)
    session.say(f'Context "{old}" renamed to "{new}".')
    return None


def _place(config: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    """The container and last key of `contexts.NAME.namespace`, `current-context`."""
    parts = path.split(".")
    if len(parts) == 1:
        return config, parts[0]
    if parts[0] in _LISTS and len(parts) >= 3:
        entry, _ = _entry(config, parts[0], ".".join(parts[1:-1]))
        return entry, parts[-1]
    if parts[0] in _LISTS and len(parts) == 2:
        return {"": config[parts[0]]}, parts[1]
    raise CLIError(f"unable to locate path {path}")


def _set(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    if len(arguments) != 2:
        raise CLIError("Unexpected args\nSee 'kubectl config set -h' for help and examples")
    config = _load(flags)
    holder, key = _place(config, arguments[0])
    value: Any = arguments[1]
    if key == "insecure-skip-tls-verify":
        value = value == "true"
    if flags.on("set-raw-bytes") is False and key.endswith("-data"):
        value = base64.b64encode(value.encode()).decode()
    holder[key] = value
    _save(flags, config)
    session.say(f'Property "{arguments[0]}" set.')
    return None


def _unset(session: Session, flags: Flags, arguments: list[str]) -> int | None:
    config = _load(flags)
    name = _one(arguments, "unset")
    holder, key = _place(config, name)
    if "" in holder:
        part = name.split(".")[0]
        config[part] = [e for e in config[part] if e["name"] != key]
    elif holder is config and key == "current-context":
        config[key] = ""
    elif holder is config and key in _LISTS:
        config[key] = []
    else:
        holder.pop(key, None)
    _save(flags, config)
    session.say(f'Property "{name}" unset.')
    return None


_PRINT = "o:output= template= allow-missing-template-keys?true show-managed-fields?"

COMMAND = Command(
    'Modify kubeconfig files using subcommands like "kubectl config set current-context my-context".',
    usage="kubectl config SUBCOMMAND",
    subcommands={
        "current-context": Command("Display the current-context.", run=_current),
        "delete-cluster": Command(
            "Delete the specified cluster from the kubeconfig.", run=_deleter("clusters", "cluster")
        ),
        "delete-context": Command(
            "Delete the specified context from the kubeconfig.", run=_deleter("contexts", "context")
        ),
        "delete-user": Command("Delete the specified user from the kubeconfig.", run=_deleter("users", "user")),
        "get-clusters": Command("Display clusters defined in the kubeconfig.", run=_names("clusters")),
        "get-contexts": Command("Describe one or many contexts.", flags="no-headers? o:output=", run=_get_contexts),
        "get-users": Command("Display users defined in the kubeconfig.", run=_names("users")),
        "rename-context": Command("Rename a context from the kubeconfig file.", run=_rename),
        "set": Command("Set an individual value in a kubeconfig file.", flags="set-raw-bytes?", run=_set),
        "set-cluster": Command(
            "Set a cluster entry in kubeconfig.", flags="embed-certs?", run=_setter("clusters", "Cluster", _set_cluster)
        ),
        "set-context": Command(
            "Set a context entry in kubeconfig.", flags="current?", run=_setter("contexts", "Context", _set_context)
        ),
        "set-credentials": Command(
            "Set a user entry in kubeconfig.",
            flags="embed-certs? exec-command= exec-api-version= exec-arg* exec-env*",
            run=_setter("users", "User", _set_user),
        ),
        "unset": Command("Unset an individual value in a kubeconfig file.", run=_unset),
        "use-context": Command("Set the current-context in a kubeconfig file.", run=_use),
        "use": Command("Set the current-context in a kubeconfig file.", run=_use),
        "view": Command(
            "Display merged kubeconfig settings or a specified kubeconfig file.",
            flags=f"{_PRINT} flatten? merge?true minify? raw?",
            run=_view,
        ),
    },
)
