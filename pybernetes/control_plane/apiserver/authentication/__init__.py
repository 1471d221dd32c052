"""Who is it: from a request's certificate, token or headers to a `User`.

`chain.py` has the one ordered list of authenticators; each module beside it is one of them. They decide from memory and
without waiting, so that a request needs no task for it; those that have to ask somebody (`waiting.py`, `oidc.py`) come
last and are only asked what nobody knows.
"""
