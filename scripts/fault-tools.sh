#!/bin/sh
# Installs the Debian packages that the fault tests can use, when run as root. Without them those faults are skipped, with the reason.
#   sh scripts/fault-tools.sh
set -eu
packages=""
need() {
  # $1 a program, $2 its package, $3 what it is for
  if command -v "$1" >/dev/null 2>&1; then
    echo "fault-tools: $1 is there ($3)"
  else
    echo "fault-tools: $1 is missing ($3): package $2"
    case " $packages " in *" $2 "*) ;; *) packages="$packages $2" ;; esac
  fi
}
PATH="$PATH:/usr/sbin:/sbin"
need unshare util-linux "namespaces of a run's own"
need ip iproute2 "network namespaces, virtual cables, bridges"
need ss iproute2 "ending live connections"
need nft nftables "dropping packets between nodes, by direction and by chance"
need bash bash "probing a direction that is cut"
need mkfs.ext4 e2fsprogs "a disk for each node, whose power can be cut"
need perl perl-base "cutting a disk's power"
need fsfreeze util-linux "disks that stall"
need faketime faketime "wall clocks that jump"

if [ -z "$packages" ]; then
  echo "fault-tools: nothing to install"
  exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "fault-tools: run this as root, or have installed:$packages" >&2
  exit 1
fi
if ! command -v apt-get >/dev/null 2>&1; then
  echo "fault-tools: no apt-get here; install by your own means:$packages" >&2
  exit 1
fi
echo "fault-tools: apt-get update, then apt-get install --yes --no-install-recommends$packages"
apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends $packages
