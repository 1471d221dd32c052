"""Values that commands' flags take in upstream's notation; for `argparse`, whose errors name the flag."""

from __future__ import annotations

import argparse


def seconds(text: str) -> float:
    """A time: `40s`, `1m30s`."""
    from pybernetes.machinery.cel.functions import parse_duration  # slow to import, and rarely needed

    try:
        return float(parse_duration(text).total_seconds())
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 40s or 1m30s") from error
