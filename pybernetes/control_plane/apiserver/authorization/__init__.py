"""May it: user and action in, decision out.

`union.py` is the ordered list (masters, then what `configuration.py` says). `rbac.py` and `node.py` decide from memory,
`webhook.py` asks another server; `policy.py` and `controller_policy.py` are the roles every cluster starts with,
`reconcile.py` keeps them; `escalation.py` stops users from granting what they do not have; `reviews.py` answers
SubjectAccessReviews.
"""
