#!/bin/sh
# enter.sh [--stay] GROUP COMMAND...: runs the command in namespaces of its own, in a control group below GROUP. When it has
# ended, or was killed, or this was killed, nothing is left: all processes of the namespaces go with their process 1, and a
# process outside, which waits for the last of them to close a pipe, removes the control groups. They also end with whoever
# started this, but for --stay.
set -eu
death="--pdeathsig KILL"
if [ "$1" = --stay ]; then
	death="--pdeathsig clear"
	shift
fi
group=$1
shift
here=$(dirname "$0")
hierarchies() {
	if [ -e /sys/fs/cgroup/cgroup.controllers ]; then echo /sys/fs/cgroup; else
		for tasks in /sys/fs/cgroup/*/tasks; do dirname "$tasks"; done
	fi
}
for mount in $(hierarchies); do
	mkdir -p "$mount/$group/lab"
	if [ "${mount##*/}" = cpuset ]; then
		for file in cpuset.cpus cpuset.mems; do
			cat "$mount/$file" >"$mount/$group/$file"
			cat "$mount/$file" >"$mount/$group/lab/$file"
		done
	fi
done
pipe=$(mktemp -u)
mkfifo "$pipe"
# A runtime makes a group in a hierarchy of version 2 beside those of version 1 too. A group cannot be removed while its last
# process is ended but not waited for, which in a container may take its process 1 a minute.
# shellcheck disable=SC2016
# Not one of the lab's own processes, by their mark (lab/session.py): whoever ends those would end it too early.
(exec env -u HOMELAB_LAB_PROCESS setsid sh -c '
	cat "$1" >/dev/null
	tries=0
	while [ $tries -lt 900 ]; do
		left=
		for group in "/sys/fs/cgroup/$2" /sys/fs/cgroup/*/"$2"; do
			if [ -d "$group" ]; then
				find "$group" -depth -type d -exec rmdir {} + 2>/dev/null
				left=1
			fi
		done
		if [ -z "$left" ]; then exit; fi
		tries=$((tries + 1))
		if [ $tries -lt 300 ]; then sleep 0.1; else sleep 1; fi
	done
' sh "$pipe" "$group" </dev/null >/dev/null 2>&1 &)
exec 9>"$pipe"
rm "$pipe"
for mount in $(hierarchies); do echo $$ >"$mount/$group/lab/cgroup.procs"; done
# shellcheck disable=SC2086
exec setpriv $death unshare --pid --fork --kill-child --mount-proc --net --mount --ipc --uts sh "$here/namespace.sh" "$@"
