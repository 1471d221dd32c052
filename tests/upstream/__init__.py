"""Upstream's own end-to-end suite against a cluster of ours.

The tests of this repository say what upstream's descriptions say; here upstream's own programs judge. What can be had
everywhere is the suite of v1.20, in Debian 12's source package of Kubernetes: 311 conformance tests, most of which
v1.36 still has. It is built with Debian's Go, its images are made on the spot of Debian's programs and of the suite's
source, and tests of what later versions changed are left out, each with its reason. `make conformance` does it all,
and needs no registry and no Docker.
"""
