"""Kubeconfig files as `kubectl config` changes them: read raw, shown merged, written back to where an entry came from.

`client.kubeconfig` reads the same files to connect; there paths are made absolute and much is left out. Here nothing
may be lost, and an entry that is new goes to the first file that exists.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pybernetes.cli.errors import CLIError

#: Name of a list -> name of its entries' content.
LISTS = {"clusters": "cluster", "contexts": "context", "users": "user"}
#: Fields that hold paths, relative to the file they stand in.
PATHS = ("certificate-authority", "client-certificate", "client-key", "tokenFile")

Entry = dict[str, Any]


class Files:
    """All files of one command. Changes are made in place and kept by `save`."""

    def __init__(self, explicit: str) -> None:
        from pybernetes.client import kubeconfig

        self.explicit = explicit
        self.paths = kubeconfig.paths(explicit)
        self._contents = {path: _read(path) for path in self.paths}

    @property
    def default(self) -> Path:
        """The file for what is new."""
        return next((path for path in self.paths if path.exists()), self.paths[-1])

    def content(self, path: Path) -> dict[str, Any]:
        """One file's content."""
        return self._contents[path]

    def entries(self, part: str) -> dict[str, tuple[Entry, Path]]:
        """The entries of a list, by name, and the file each comes from; the first file with a name wins."""
        found: dict[str, tuple[Entry, Path]] = {}
        for path, content in self._contents.items():
            for item in content.get(part) or ():
                item[LISTS[part]] = item.get(LISTS[part]) or {}
                found.setdefault(item["name"], (item[LISTS[part]], path))
        return found

    def entry(self, part: str, name: str) -> tuple[Entry, Path, bool]:
        """An entry to be changed, its file, and whether it was made just now."""
        if (found := self.entries(part).get(name)) is not None:
            return *found, False
        made: Entry = {}
        path = self.default
        content = self._contents[path]
        content[part] = [*(content.get(part) or ()), {"name": name, LISTS[part]: made}]
        return made, path, True

    def remove(self, part: str, name: str) -> None:
        """Delete an entry from the file it comes from."""
        _, path = self.entries(part)[name]
        content = self._contents[path]
        content[part] = [item for item in content[part] if item["name"] != name]

    @property
    def current(self) -> str:
        """The current context."""
        return next((str(c["current-context"]) for c in self._contents.values() if c.get("current-context")), "")

    def use(self, name: str) -> None:
        """Set or clear the current context."""
        if name:
            self._contents[self.default]["current-context"] = name
            return
        for content in self._contents.values():
            if content.get("current-context"):
                content["current-context"] = ""
                return

    def other(self, name: str) -> Any:
        """`preferences` or `extensions`, from the first file that has any."""
        return next((c[name] for c in self._contents.values() if c.get(name)), None)

    def save(self) -> None:
        """Write the files whose content is not what it was."""
        for path, content in self._contents.items():
            if content != _read(path):
                _write(path, content)

    @staticmethod
    def relative(path: str, file: Path) -> str:
        """A path as the file is to have it: relative when it lies below the file's directory."""
        full = os.path.abspath(path)
        base = os.path.abspath(file.parent)
        return os.path.relpath(full, base) if full.startswith(base + os.sep) else full


def _read(path: Path) -> dict[str, Any]:
    from pybernetes.machinery import yaml

    try:
        found = yaml.load(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CLIError(f"open {path}: {(error.strerror or '').lower()}") from None
    except ValueError as error:
        raise CLIError(f'error loading config file "{path}": {error}') from None
    return found if isinstance(found, dict) else {}


def normal(part: str, entry: Entry) -> Entry:
    """An entry with the fields that are always written."""
    made = dict(entry)
    if part == "contexts":
        made = {"cluster": "", "user": "", **made}
    if part == "clusters":
        made = {"server": "", **made}
    if part == "users" and made.get("exec"):
        plugin = {"args": None, "env": None, "provideClusterInfo": False, **made["exec"]}
        made["exec"] = plugin
    return made


def _write(path: Path, content: dict[str, Any]) -> None:
    from pybernetes.machinery import yaml

    whole: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "current-context": "", **content}
    for part, key in LISTS.items():
        items = sorted(whole.get(part) or (), key=lambda item: str(item["name"]))
        whole[part] = [{"name": i["name"], key: normal(part, i.get(key) or {})} for i in items] or None
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(yaml.dump(whole))
    temporary.replace(path)
