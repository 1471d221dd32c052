"""CEL, the expression language of validation rules, admission policies, match conditions and device selectors.

`compile(text, variables)` parses and checks once; the program is then called with values. Our own, because the
libraries at hand lack what the API needs: optional syntax, Kubernetes' functions and types (quantities, addresses, the
authorizer), two-variable comprehensions, and above all a check against schemas that names the undefined field.
"""

from __future__ import annotations

from pybernetes.machinery.cel.program import DYN, Program, compile
from pybernetes.machinery.cel.values import CelError

__all__ = ["DYN", "CelError", "Program", "compile"]
