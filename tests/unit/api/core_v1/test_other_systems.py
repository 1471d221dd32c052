"""Volume sources from before CSI, and options of Windows containers: what is refused, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from .test_pods import container, findings

IQN = {"targetPortal": "192.0.2.1", "iqn": "iqn.2001-04.com.example:storage", "lun": 0}
BYTE = "must be between 0 and 255, inclusive"


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ({"iscsi": IQN}, []),
        ({"iscsi": {**IQN, "iqn": "com.example"}}, ["iqn: Invalid value", "starting with iqn, eui, or naa"]),
        ({"iscsi": {**IQN, "iqn": "iqn.2001.com"}}, ["iqn: Invalid value", "must be valid format"]),
        ({"iscsi": {**IQN, "lun": 256}}, ["lun: Invalid value", BYTE]),
        ({"iscsi": {**IQN, "chapAuthSession": True}}, ["secretRef: Required value"]),
        ({"fc": {"targetWWNs": ["a"], "lun": 1}}, []),
        ({"fc": {"targetWWNs": ["a"]}}, ["lun is required if targetWWNs is specified"]),
        ({"fc": {"targetWWNs": ["a"], "wwids": ["b"], "lun": 1}}, ["can not be specified simultaneously"]),
        ({"fc": {}}, ["must specify either targetWWNs or wwids"]),
        ({"gcePersistentDisk": {"pdName": "d", "partition": 300}}, ["partition: Invalid value", BYTE]),
        ({"awsElasticBlockStore": {"volumeID": "d", "partition": -1}}, ["partition: Invalid value", BYTE]),
        ({"flocker": {}}, ["one of datasetName and datasetUUID is required"]),
        ({"flocker": {"datasetName": "a/b"}}, ["must not contain '/'"]),
        ({"azureDisk": {"diskName": "d", "diskURI": "https://x"}}, []),
        ({"azureDisk": {"diskName": "d", "diskURI": "x"}}, ["diskURI: Unsupported value"]),
        ({"azureDisk": {"diskName": "d", "diskURI": "https://x", "cachingMode": "No"}}, ["cachingMode: Unsupported"]),
        ({"azureDisk": {"diskName": "d", "diskURI": "https://x", "kind": "Managed"}}, ["/subscriptions/{sub-id}"]),
        ({"quobyte": {"registry": "h:1,i:2", "volume": "v"}}, []),
        ({"quobyte": {"registry": "h", "volume": "v"}}, ["must be a host:port pair"]),
        ({"storageos": {"volumeName": "Bad_Name"}}, ["volumeName: Invalid value"]),
        ({"flexVolume": {"driver": "x/y", "options": {"a.kubernetes.io/b": "c"}}}, ["namespaces are reserved"]),
    ],
)
def test_sources(source: dict[str, Any], wrong: list[str]) -> None:
    found = findings(volumes=[{"name": "v", **source}])
    assert len(found) == (1 if wrong else 0), found
    for text in wrong:
        assert text in found[0]


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"runAsUserName": "NT Authority\\NETWORK SERVICE"}, ""),
        ({"runAsUserName": "example.com\\anna"}, ""),
        ({"runAsUserName": ""}, "runAsUserName cannot be an empty string"),
        ({"runAsUserName": "a\\b\\c"}, "cannot contain more than one backslash"),
        ({"runAsUserName": "a\tb"}, "cannot contain control characters"),
        ({"runAsUserName": "\\anna"}, "runAsUserName's Domain doesn't match the NetBios nor the DNS format"),
        ({"runAsUserName": "d\\"}, "runAsUserName's User cannot be empty"),
        ({"runAsUserName": ". ."}, "cannot contain only periods or spaces"),
        ({"runAsUserName": "a:b"}, "cannot contain the following characters"),
        ({"runAsUserName": "a" * 105}, "must not be longer than 104 characters"),
        ({"gmsaCredentialSpec": ""}, "gmsaCredentialSpec cannot be an empty string"),
        ({"gmsaCredentialSpec": "x" * 65537}, "size must be under 64 KiB"),
        ({"gmsaCredentialSpecName": "Bad"}, "a lowercase RFC 1123 subdomain"),
    ],
)
def test_windows(options: dict[str, Any], wrong: str) -> None:
    in_pod = findings(securityContext={"windowsOptions": options})
    in_container = findings(containers=container(securityContext={"windowsOptions": options}))
    assert len(in_pod) == len(in_container) == (1 if wrong else 0), in_pod
    if wrong:
        assert wrong in in_pod[0] and in_pod[0].startswith("spec.securityContext.windowsOptions.")
        assert wrong in in_container[0]
