"""A containerd of one node's own: started, watched, found again after a crash, and removed without a trace.

`settings` writes its configuration (pure), `process` runs it, `content` brings image archives in, `removal` takes
everything away. Only the binary is shared with the machine; root, state, socket and network configuration are the
node's, so that several nodes and the machine's own containerd live side by side.
"""
