#!/bin/sh
# What a lab with real pods needs in its own namespaces before the command "$@" runs there as process 1.
# All of it goes with the namespaces: it is mounts and interfaces.
set -eu
mount --make-rshared /
mkdir -p /run/containerd /var/lib/kubelet /var/lib/cni
# Paths that the runtime and the kubelet use whatever their settings say.
for place in /run/containerd /var/log /var/lib/kubelet /var/lib/cni; do mount -t tmpfs tmpfs "$place"; done
# The kubelet would change these for the whole machine: it finds what it wants in their place, and writes nothing
# (setupKernelTunables in pkg/kubelet/cm/container_manager_linux.go).
mkdir /run/containerd/sysctl
for each in vm/overcommit_memory=1 kernel/panic=10 kernel/panic_on_oops=1; do
	file=/run/containerd/sysctl/${each##*/}
	file=${file%=*}
	echo "${each#*=}" >"$file"
	mount --bind "$file" "/proc/sys/${each%=*}"
done
ip link set lo up
# A process of the node can only send to a Service's address if there is a way to it, before it is translated.
ip link add node0 type veth peer name node1
ip link set node0 up
ip link set node1 up
ip address add 169.254.77.1/32 dev node0
ip route add default dev node0
echo 1 >/proc/sys/net/ipv4/ip_forward
if [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ]; then echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables; fi
exec "$@"
