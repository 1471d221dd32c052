"""What the commands on clusters have in common on the command line: which cluster is meant."""

from __future__ import annotations

import argparse

from pybernetes.bootstrap.cluster import DEFAULT_NAME


def parser(command: str, description: str) -> argparse.ArgumentParser:
    """For `pybernetes COMMAND`, with `--name` and `--data-dir`."""
    found = argparse.ArgumentParser(prog=f"pybernetes {command}", description=description, allow_abbrev=False)
    found.add_argument("--name", default=DEFAULT_NAME, help="name of the cluster (default: %(default)s)")
    found.add_argument("--data-dir", metavar="DIR", help="where everything of the cluster is kept on this machine")
    return found
