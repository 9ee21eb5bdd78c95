#!/bin/busybox sh
# First program of the guest: loads what the shared folders need, makes one root of them, hands over to the agent.
# Words after "vm." on the kernel's command line: vm.share=TAG:PATH (9p, read-only), in the order of mounting.
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs devtmpfs /dev
while read -r module; do
    $b insmod "/modules/$module" || echo "vm: $module does not load"
done </modules/order
for word in $($b cat /proc/cmdline); do
    case $word in vm.share=*) ;; *) continue ;; esac
    share=${word#vm.share=}
    $b mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=262144 "${share%%:*}" "/root${share#*:}" ||
        echo "vm: $share does not mount"
done
cd /root || exit 1
for folder in run tmp var root; do $b mount -t tmpfs tmpfs $folder; done
$b mkdir -p run/vm/etc run/lock var/lib var/log var/tmp
$b ln -s ../run var/run
$b cp -a etc/. run/vm/etc
$b mount --bind run/vm/etc etc
$b cp /agent run/vm/agent
$b mount --move /proc proc
$b mount --move /sys sys
$b mount --move /dev dev
$b mkdir -p dev/pts dev/shm
$b mount -t devpts devpts dev/pts
$b mount -t tmpfs tmpfs dev/shm
$b mount -t debugfs debugfs sys/kernel/debug 2>/dev/null
exec $b switch_root /root /run/vm/agent
