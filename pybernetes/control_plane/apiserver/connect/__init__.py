"""Byte plumbing to kubelets, Pods and Services: `relay.py` carries a request (and an upgraded connection) to a
backend, `targets.py` finds out where that is, `links.py` rewrites what a proxied web page refers to."""
