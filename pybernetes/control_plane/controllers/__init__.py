"""The controllers: one module each, all of one shape, listed in `manager`.

A controller is `client.controller.Controller` with a `Config`; the names here without a `Controller` in them are the
pure parts that several share: what state a Pod is in, which objects belong to an owner, how many at once.
"""
