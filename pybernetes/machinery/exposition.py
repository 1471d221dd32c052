"""Prometheus' text form of metrics: what /metrics of every component is written in.

Metrics are plain numbers of the component that counts them; this only writes them down when somebody asks. The words
in brackets before a help text are Kubernetes' promise about the metric: ALPHA ones may change at any time.

The form: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
ALPHA, BETA, STABLE = "ALPHA", "BETA", "STABLE"

Sample = tuple[Mapping[str, str], float]


def head(name: str, kind: str, about: str, stability: str = "") -> tuple[str, str]:
    """What stands before the samples of a metric. kind: counter, gauge or histogram."""
    text = f"[{stability}] {about}" if stability else about
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"


def family(name: str, kind: str, about: str, stability: str, samples: Iterable[Sample]) -> list[str]:
    """A metric and its samples."""
    return [*head(name, kind, about, stability), *(sample(name, labels, value) for labels, value in samples)]


def sample(name: str, labels: Mapping[str, str], value: float) -> str:
    """One line. All digits of the value: rates are made of small differences."""
    shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    number = repr(int(value) if value == int(value) else value)
    return f"{name}{{{shown}}} {number}" if shown else f"{name} {number}"


def page(lines: Iterable[str]) -> bytes:
    """The body of an answer."""
    return ("\n".join(lines) + "\n").encode()


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
