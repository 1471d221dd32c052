"""What `make run` does after the set-up: a cluster, the demo application, and what to do next."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYBERNETES = [sys.executable, "-m", "pybernetes"]


def run(*arguments: str, capture: bool = False) -> str:
    """One pybernetes command; ends the script when it fails."""
    done = subprocess.run([*PYBERNETES, *arguments], cwd=ROOT, text=True, check=False, capture_output=capture)
    if done.returncode:
        print((done.stdout or "") + (done.stderr or ""), file=sys.stderr)
        print(f"make run: 'pybernetes {' '.join(arguments)}' failed", file=sys.stderr)
        sys.exit(done.returncode)
    return done.stdout or ""


def main() -> None:
    sys.path.insert(0, str(ROOT))
    from pybernetes.bootstrap import cluster, images

    print("==> cluster")
    run("up")
    found = cluster.find(cluster.DEFAULT_NAME)
    assert found is not None
    print("==> image of the demo application, assembled on this machine")
    archives = images.assemble(found.directory / "images", ("hello", "busybox"))
    run("image", "import", *map(str, archives))
    kubectl = ["kubectl", "--kubeconfig", str(found.kubeconfig)]
    print("==> demo application")
    run(*kubectl, "apply", "-f", str(ROOT / "examples" / "hello" / "hello.yaml"))
    run(*kubectl, "rollout", "status", "deployment/hello", "--timeout=60s")
    run(*kubectl, "get", "nodes")
    run(*kubectl, "get", "pods", "-o", "wide")
    pods = json.loads(run(*kubectl, "get", "pods", "-l", "app=hello", "-o", "json", capture=True))
    address = pods["items"][0]["status"]["podIP"]
    with urllib.request.urlopen(f"http://{address}:8080/", timeout=10) as page:
        print(f"==> the page of one Pod\n{page.read().decode().strip()}")
    print(
        f"""
The cluster is running. Try:
  export KUBECONFIG={found.kubeconfig}
  .venv/bin/pk get pods -o wide             # or the official kubectl
  .venv/bin/pk scale deployment hello --replicas=10
  .venv/bin/pk exec -it deploy/hello -- sh
make stop removes it all."""
    )


if __name__ == "__main__":
    main()
