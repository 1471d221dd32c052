#!/usr/bin/env bash
# Installs from the distribution what real containers need; asks nothing when all is there.
set -euo pipefail
missing=()
need() { # need COMMAND-OR-FILE PACKAGE
  if [[ $1 == /* ]]; then [[ -e $1 ]] || missing+=("$2"); else command -v "$1" >/dev/null 2>&1 || missing+=("$2"); fi
}
PATH=$PATH:/usr/sbin:/sbin
need containerd containerd
need runc runc
[[ -e /opt/cni/bin/bridge ]] || need /usr/lib/cni/bridge containernetworking-plugins
need nft nftables
need iptables iptables
need ip iproute2
need conntrack conntrack
need /bin/busybox busybox-static
need haproxy haproxy
if [[ ${CI:-} || ${WITH_TEST_TOOLS:-} ]]; then
  need etcd etcd-server
  need tmux tmux
  need wrk wrk
  need faketime faketime
  need systemd-analyze systemd
fi
[[ ${#missing[@]} -eq 0 ]] && exit 0
if [[ $(id -u) -ne 0 ]]; then
  command -v sudo >/dev/null || { echo "As root: apt-get install ${missing[*]}" >&2; exit 1; }
  sudo=sudo
fi
command -v apt-get >/dev/null || { echo "Please install: ${missing[*]} (this script knows Debian and Ubuntu)" >&2; exit 1; }
echo "==> From the distribution: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# Debian starts containerd, etcd and haproxy as services when they are installed; pybernetes runs its own.
${sudo:-} apt-get update -qq >/dev/null || true
${sudo:-} env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
