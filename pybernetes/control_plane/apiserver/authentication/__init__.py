"""Who is it: from a request's certificate, token or headers to a `User`.

`chain.py` has the one ordered list of authenticators; each module beside it is one of them. All decide from memory and
without waiting, so that a request needs no task for it.
"""
