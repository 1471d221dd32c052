"""What a snapshot of etcd holds, read from its file: no etcd is needed to look into one.

A snapshot is etcd's own database, a bbolt file, with a SHA-256 of all of it at the end. bbolt is a B+ tree of pages
behind two alternating meta pages; in its bucket `key` etcd keeps every change by its revision, the value being the
KeyValue message (or a mark of removal). The last change of each key is what the snapshot holds. Whoever starts new
members from it uses `etcdctl snapshot restore`; this is for putting its objects into a store that runs already.

bbolt's format: https://pkg.go.dev/go.etcd.io/bbolt (page.go, bucket.go); it has been the same since 2013.
"""

from __future__ import annotations

import hashlib
import struct
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pybernetes.store.errors import StoreCorrupt
from pybernetes.store.etcd_wire import MESSAGES
from pybernetes.store.protocol import Entry, Page, Seal

_MAGIC = 0xED0CDAED
_PAGE = struct.Struct("<QHHI")  # id, flags, count, overflow
#: magic, version, page size, flags, root page, sequence, freelist, pages, transaction
_META = struct.Struct("<IIIIQQQQQ")
_BRANCH_ELEMENT = struct.Struct("<IIQ")  # position, key size, page
_LEAF_ELEMENT = struct.Struct("<IIII")  # flags, position, key size, value size
_BUCKET = struct.Struct("<QQ")  # root page (0: the page follows), sequence
_BRANCH, _LEAF, _IS_BUCKET = 0x01, 0x02, 0x01
_REVISION = struct.Struct(">QxQ")
_TOMBSTONE = b"t"
_CHECKSUM = 32


def is_snapshot(head: bytes) -> bool:
    """Whether a file that begins so is one."""
    return len(head) >= 20 and int.from_bytes(head[16:20], "little") == _MAGIC


class EtcdSnapshot:
    """The objects in a snapshot, as `copying.Source`. `prefix` is taken off the keys; others are not shown. seal: what
    values are kept as."""

    def __init__(self, path: Path, prefix: str = "", seal: Seal | None = None) -> None:
        found, self._revision = _last_changes(_checked(path))
        start = prefix.encode()
        entries = []
        for key in sorted(key for key in found if key.startswith(start)):
            kv, name = found[key], key[len(start) :].decode()
            value = kv.value if seal is None else seal.unseal(name, kv.value)
            entries.append(Entry(name, value, kv.mod_revision, kv.create_revision))
        self._entries = entries
        self._keys = [entry.key for entry in entries]

    async def list(self, prefix: str, *, limit: int = 0, after: str = "", revision: int = 0) -> Page:
        """As `Store.list`, of the one revision that there is."""
        entries = [entry for entry in self._entries[bisect_right(self._keys, after) :] if entry.key.startswith(prefix)]
        shown = entries[:limit] if limit else entries
        return Page(shown, self._revision, len(entries) - len(shown))

    async def current_revision(self) -> int:
        """The last revision in the snapshot."""
        return self._revision


def _checked(path: Path) -> memoryview:
    data = path.read_bytes()
    if not is_snapshot(data) or len(data) % 512 != _CHECKSUM:
        raise StoreCorrupt(f"{path} is no snapshot of etcd")
    if hashlib.sha256(memoryview(data)[:-_CHECKSUM]).digest() != data[-_CHECKSUM:]:
        raise StoreCorrupt(f"{path} is damaged: its checksum is not that of its content")
    return memoryview(data)[:-_CHECKSUM]


def _last_changes(data: memoryview) -> tuple[dict[bytes, Any], int]:
    """The last KeyValue of every key that was not removed, and the revision of the last change."""
    size, root = _root(data)
    buckets = {bytes(key): bytes(value) for flags, key, value in _items(data, size, root) if flags & _IS_BUCKET}
    found: dict[bytes, Any] = {}
    last = 1
    for _, key, value in _bucket(data, size, buckets.get(b"key")):
        kv = MESSAGES["KeyValue"].FromString(bytes(value))
        last = max(last, _REVISION.unpack_from(key)[0])
        if bytes(key).endswith(_TOMBSTONE) and len(key) > _REVISION.size:
            found.pop(kv.key, None)
        else:
            found[kv.key] = kv
    for _, key, value in _bucket(data, size, buckets.get(b"meta")):
        if bytes(key) in (b"scheduledCompactRev", b"finishedCompactRev"):  # what was compacted may have been the last
            last = max(last, _REVISION.unpack_from(value)[0])
    return found, last


def _root(data: memoryview) -> tuple[int, int]:
    """Page size, and the root page of the newer of the two meta pages."""
    metas = []
    at, size = 0, 4096
    for _ in range(2):
        magic, version, size, _, root, _, _, _, transaction = _META.unpack_from(data, at + _PAGE.size)
        if magic == _MAGIC and version == 2:
            metas.append((transaction, size, root))
        at = size
    if not metas:
        raise StoreCorrupt("the snapshot has no valid meta page")
    _, size, root = max(metas)
    return size, root


def _bucket(data: memoryview, size: int, header: bytes | None) -> Iterator[tuple[int, memoryview, memoryview]]:
    if header is None:
        return
    root, _ = _BUCKET.unpack_from(header)
    if root:
        yield from _items(data, size, root)
    else:
        yield from _elements(memoryview(header)[_BUCKET.size :], data, size)


def _items(data: memoryview, size: int, page: int) -> Iterator[tuple[int, memoryview, memoryview]]:
    """(flags, key, value) of a tree, in the order of keys."""
    yield from _elements(data[page * size :], data, size)


def _elements(page: memoryview, data: memoryview, size: int) -> Iterator[tuple[int, memoryview, memoryview]]:
    _, flags, count, _ = _PAGE.unpack_from(page)
    for number in range(count):
        at = _PAGE.size + number * 16
        if flags & _BRANCH:
            _, _, child = _BRANCH_ELEMENT.unpack_from(page, at)
            yield from _items(data, size, child)
        elif flags & _LEAF:
            kind, position, key_size, value_size = _LEAF_ELEMENT.unpack_from(page, at)
            start = at + position
            yield kind, page[start : start + key_size], page[start + key_size : start + key_size + value_size]
        else:
            raise StoreCorrupt(f"a page of the snapshot is of no known kind ({flags:#x})")
