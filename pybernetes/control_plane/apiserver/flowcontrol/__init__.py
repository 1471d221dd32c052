"""Priority and fairness (KEP-1040): who is served how much when there is more to do than can be done.

`matching.py` tells a request's FlowSchema (pure); `levels.py` has the seats of each priority level and the queues in
front of them; `control.py` follows the objects in the store and is a step of the request chain.

Only requests that wait for something hold a seat for longer than a moment: what is answered from memory runs from
the socket to the answer in one go, so a seat is always free again when the next request comes. Components in the API
server's own process are part of it and are not queued.
"""

from __future__ import annotations
