#!/bin/sh
# Runs commands for the host, one after the other. Comes on the virtio port "agent":
#     RUN number limit_s bytes-of-command bytes-of-input LF command input
# and goes back:
#     DONE number exit-status bytes-of-output bytes-of-errors LF output errors
export PATH=/project/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME=/root LC_ALL=C.UTF-8 TERM=dumb
export PYTHONPATH=/project:/site PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1
cd /run/vm || exit 1
hostname guest
ip link set lo up
for port in /sys/class/virtio-ports/*; do
    [ "$(cat "$port/name")" = agent ] && exec 3<>"/dev/${port##*/}"
done
printf 'READY %s\n' "$(uname -r)" >&3
while read -r verb number limit command input <&3; do
    [ "$verb" = RUN ] || continue
    : >command.sh; : >input
    [ "$command" -eq 0 ] || dd bs="$command" count=1 iflag=fullblock of=command.sh <&3 2>/dev/null
    [ "$input" -eq 0 ] || dd bs="$input" count=1 iflag=fullblock of=input <&3 2>/dev/null
    (cd /root && exec setsid timeout -s KILL "$limit" /bin/sh /run/vm/command.sh) <input >output 2>errors 3<&-
    status=$?
    printf 'DONE %s %s %s %s\n' "$number" "$status" "$(stat -c %s output)" "$(stat -c %s errors)" >&3
    cat output errors >&3
done
poweroff -f
