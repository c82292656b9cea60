#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# First process of the guest kernel: sets the interfaces up, plays the plan, turns the machine off.
# The guest's root is the host's file system; only CORPUS_JOB, the directory of this run, is written to.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
here=${0%/*}
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run

# Modules lie where the package puts them, not in /lib/modules; the kernel's own requests go the same way.
mkdir -p /run/root/lib
ln -s /usr/lib/uml/modules /run/root/lib/modules
printf '#!/bin/sh\nexec /sbin/modprobe -d /run/root "$@"\n' >/run/modprobe
chmod +x /run/modprobe
echo /run/modprobe >/proc/sys/kernel/modprobe
for module in xfrm_user esp4 esp6 ah4 ah6 dummy 8021q; do /run/modprobe "$module"; done

{
    uname -sr
    ip link set lo up
    # Nothing is behind a dummy interface: a frame that would leave is seen by the packet socket and is gone.
    ip link add d0 address 02:00:00:00:00:01 mtu 9580 type dummy
    echo 0 >/proc/sys/net/ipv6/conf/d0/router_solicitations
    ip link set d0 up
    ip link add link d0 name d0.100 mtu 9500 type vlan id 100
    ip link set d0.100 up
    ip link add link d0 name d1 mtu 9500 type vlan protocol 802.1ad id 7
    ip link set d1 up
    ip link add link d1 name d1.8 mtu 9400 type vlan id 8
    ip link set d1.8 up
    for net in 192.0.2 198.51.100 203.0.113; do ip addr add $net.1/24 dev d0; done
    for net in 1 2 3; do ip addr add 2001:db8:$net::1/64 dev d0 nodad; done
    ip addr add 10.100.0.1/24 dev d0.100
    ip addr add 2001:db8:100::1/64 dev d0.100 nodad
    ip addr add 10.8.0.1/24 dev d1.8
    ip route add default dev d0
    ip -6 route add default dev d0
    ip -force -batch "$CORPUS_JOB/xfrm.batch"
    python3 "$here/guest.py" "$CORPUS_JOB"
} >"$CORPUS_JOB/guest.log" 2>&1
sync
python3 -c 'import ctypes; ctypes.CDLL(None).reboot(0x4321FEDC)'
