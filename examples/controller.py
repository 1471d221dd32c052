"""A controller in Python: a `Website` of a page becomes a ConfigMap, and whoever changes that is put right.

python examples/controller.py
"""

from __future__ import annotations

import asyncio
from typing import Any

from pybernetes.aio import clock
from pybernetes.aio.tasks import Nursery
from pybernetes.api.core_v1 import ConfigMap
from pybernetes.client.client import Client
from pybernetes.client.controller import Controller, controller_of, key_of, split_key
from pybernetes.client.events import EventRecorder
from pybernetes.client.factory import InformerFactory
from pybernetes.client.manager import Manager
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError
from pybernetes.machinery.meta import ObjectMeta, OwnerReference
from pybernetes.testing import LocalCluster

GROUP, VERSION = "example.com", "example.com/v1"
SCHEMA = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"page": {"type": "string"}}}}}
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "websites.example.com"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"kind": "Website", "plural": "websites"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": SCHEMA}}],
    },
}


class WebsiteController(Controller):
    """A key comes in, the world is read, all of it is enforced: no memory of what happened."""

    name = "website-controller"

    def setup(self) -> None:
        self.websites = self.informers.dynamic(VERSION, "Website")
        self.maps = self.informers.informer(ConfigMap)
        self.websites.on(self._website, lambda old, new: self._website(new))
        self.maps.on(updated=lambda old, new: self._map(new), deleted=self._map)

    def _website(self, website: dict[str, Any]) -> None:
        self.queue.add(f"{website['metadata']['namespace']}/{website['metadata']['name']}")

    def _map(self, found: ConfigMap) -> None:
        if (owner := controller_of(found)) is not None and owner.kind == "Website":
            self.queue.add(key_of(found))

    async def reconcile(self, key: str) -> None:
        namespace, name = split_key(key)
        website = self.websites.by_key(key)
        if website is None:
            return  # what it owned goes with it: the garbage collector's business
        data = {"index.html": f"<h1>{website['spec']['page']}</h1>"}
        present, maps = self.maps.get(namespace, name), self.client.resource(ConfigMap)
        if present is None:
            uid = website["metadata"]["uid"]
            owner = OwnerReference(api_version=VERSION, kind="Website", name=name, uid=uid, controller=True)
            meta = ObjectMeta(name=name, namespace=namespace, owner_references=[owner])
            written = await maps.create(ConfigMap(metadata=meta, data=data))
        elif present.data != data:
            changed = codec.copy(present)  # what a cache hands out is never changed
            changed.data = data
            written = await maps.update(changed)
        else:
            return
        await self.maps.caught_up(written)


async def served(client: Client) -> bool:
    """Whether the definition is in force."""
    try:
        await client.find(VERSION, "Website")
    except StatusError:
        return False
    return True


async def main() -> list[str]:
    """The page as it was made, after somebody broke it, and after the Website is gone."""
    seen: list[str] = []
    async with LocalCluster(nodes=0) as cluster, Nursery("example") as nursery:
        client = cluster.client
        await client.dynamic("apiextensions.k8s.io/v1", "CustomResourceDefinition").create(DEFINITION)
        while not await served(client):
            await clock.sleep(0.01)
        informers, events = InformerFactory(client), EventRecorder(client, WebsiteController.name)
        controller = WebsiteController(client, informers, events)
        nursery.start(Manager(informers, events, [controller]).run(), "manager")
        maps, websites = client.resource(ConfigMap), client.dynamic(VERSION, "Website")

        async def until(page: str) -> None:
            while page not in [*(m.data["index.html"] for m in await ours()), *([""] if not await ours() else [])]:
                await clock.sleep(0.01)
            seen.append(page)

        async def ours() -> list[Any]:
            return [m for m in (await maps.list("default")).items if m.metadata.name == "home"]

        website = {"apiVersion": VERSION, "kind": "Website", "metadata": {"name": "home", "namespace": "default"}}
        await websites.create({**website, "spec": {"page": "Hello"}})
        await until("<h1>Hello</h1>")
        await maps.patch("home", "default", {"data": {"index.html": "broken"}})
        await until("<h1>Hello</h1>")
        await websites.delete("home", "default")
        await until("")
    return seen


if __name__ == "__main__":
    print(asyncio.run(main()))
