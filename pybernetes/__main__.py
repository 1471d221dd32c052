"""`python -m pybernetes`: parse and dispatch, nothing else.

Each command names the module that does it, imported only when it is called: `pybernetes kubectl get` must not pay for
the API server.
"""

from __future__ import annotations

import importlib
import sys

#: command -> (module with `main(arguments) -> exit code`, one line for the help); in the order of the help.
COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("pybernetes.bootstrap.local", "a cluster on this machine; returns when it is Ready"),
    "down": ("pybernetes.bootstrap.local", "remove a cluster and all it made"),
    "status": ("pybernetes.bootstrap.local", "what runs, and where"),
    "list": ("pybernetes.bootstrap.local", "the clusters on this machine"),
    "image": ("pybernetes.bootstrap.local", "bring image archives into the nodes: image import FILE..., image list"),
    "node": ("pybernetes.bootstrap.nodes", "the real nodes of a cluster: node list, node start|stop|delete NODE"),
    "init": ("pybernetes.bootstrap.membership", "make this machine the first control plane of a cluster of several"),
    "join": ("pybernetes.bootstrap.membership", "make this machine a node of such a cluster, or a control plane more"),
    "reset": ("pybernetes.bootstrap.membership", "take back what init or join made on this machine"),
    "token": ("pybernetes.bootstrap.token_command", "join tokens: token create|list|delete|generate"),
    "certs": ("pybernetes.bootstrap.certs_command", "certificates: certs check|renew|upload"),
    "upgrade": ("pybernetes.bootstrap.upgrade", "upgrade plan: which versions run, and what an upgrade would do"),
    "backup": ("pybernetes.bootstrap.backup", "save all objects of a cluster to a file, while it runs"),
    "restore": ("pybernetes.bootstrap.backup", "put a backup in the place of a cluster's objects"),
    "migrate": ("pybernetes.bootstrap.backup", "move a cluster's objects to another store, for example etcd"),
    "kubectl": ("pybernetes.cli.kubectl", "the command line for everything in the cluster (also installed as pk)"),
    "apiserver": ("pybernetes.bootstrap.components", "one component: the API server"),
    "controller-manager": ("pybernetes.bootstrap.components", "one component: all controllers"),
    "cloud-controller-manager": ("pybernetes.bootstrap.components", "one component: nodes, load balancers, routes"),
    "scheduler": ("pybernetes.bootstrap.components", "one component: the scheduler"),
    "kubelet": ("pybernetes.bootstrap.components", "one component: the kubelet with its container runtime"),
    "proxy": ("pybernetes.bootstrap.components", "one component: kube-proxy"),
    "dns": ("pybernetes.bootstrap.components", "one component: the cluster DNS"),
    "control-plane": ("pybernetes.bootstrap.components", "API server, controllers and scheduler in one process"),
    "etcd-member": ("pybernetes.bootstrap.components", "this machine's member of the cluster's own etcd"),
    "agent": ("pybernetes.bootstrap.components", "everything that runs on one node, in one process"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print("pybernetes: Kubernetes in Python\n\nCommands:")
        for name, (_, line) in COMMANDS.items():
            print(f"  {name:20} {line}")
        print("\n'pybernetes COMMAND --help' tells the flags of one.")
        return 0
    if arguments[0] in ("version", "--version"):
        from pybernetes import KUBERNETES_VERSION, __version__

        print(f"pybernetes {__version__} (Kubernetes {KUBERNETES_VERSION})")
        return 0
    found = COMMANDS.get(arguments[0])
    if found is None:
        print(f"pybernetes: no command {arguments[0]!r}; 'pybernetes --help' lists them", file=sys.stderr)
        return 2
    result = importlib.import_module(found[0]).main(arguments)
    return int(result)


if __name__ == "__main__":
    sys.exit(main())
