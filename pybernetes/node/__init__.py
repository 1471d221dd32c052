"""What runs on every node: the kubelet, and its container runtime over CRI."""
