"""The Ingress controller: Ingresses, IngressClasses, Services, EndpointSlices and Secrets become what haproxy does.

`plan.py`, `backends.py` and `certificates.py` decide (pure), `render.py` writes haproxy's language (pure), `slots.py`
finds the difference that needs no reload (pure), `process.py` runs haproxy, `controller.py` follows the API.
"""

from pybernetes.network.ingress.controller import CONTROLLER, Config, IngressController

__all__ = ["CONTROLLER", "Config", "IngressController"]
