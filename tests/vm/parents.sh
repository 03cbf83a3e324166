# shellcheck shell=sh disable=SC2034,SC2086,SC2154 # lib.sh has them, and plain words
# What can carry a carp interface beside an Ethernet card: a VLAN, a bond, a bridge, on
# both paths.
vlan() {
    ip -n "$1" link add link eth0 name vlan10 type vlan id 10
    ip -n "$1" link set vlan10 up
    addresses "$1" vlan10 "$2"
}
# All of them on the VLAN, and nobody but them: eth0 has no addresses.
on_vlan() {
    lan_dev=vlan10
    lan
    for n in box:2 peer:3 client:9; do
        ip -n "${n%:*}" addr flush dev eth0
        vlan "${n%:*}" "${n#*:}"
    done
}
make_vlan() { vlan box 2; }

make_bond() {
    ip link add bond0 type bond mode active-backup miimon 100
    for slave in eth0 eth1; do
        ip link set $slave down
        ip link set $slave master bond0
        ip link set $slave up
    done
    ip link set bond0 up
    addresses box bond0 2
}
on_bond() {
    lan
    wire box eth1 box1
    ip addr flush dev eth0
    udevadm settle
    make_bond
}

make_bridge() {
    ip link add brp type bridge
    ip link set eth0 master brp
    ip link set brp up
    addresses box brp 2
}
on_bridge() {
    lan
    ip addr flush dev eth0
    make_bridge
}

carrier() { grep -q 1 "/sys/class/net/$1/carrier"; }
# TCP, in segments as large as the path lets them be.
lots() {
    perl -MIO::Socket::INET -e '$l = IO::Socket::INET->new(Listen => 1, LocalAddr => $ARGV[0], ReuseAddr => 1) or die;
        $c = $l->accept; sysread $c, $_, 4096; print $c "x" x 2000000' $vip:7 &
    soon listens
    got=$(in_client curl -sS -m 20 --http0.9 http://$vip:7/ | wc -c)
    is 2000000 "$got"
}
listens() { ss -ltn | grep -q "$vip:7 "; }
on() {
    kind=$1
    dev=$2
    path=$3
    on_$kind
    soon carrier "$dev" || check "$kind $path: $dev has a carrier" false
    serving "$dev:$path"
    check "$kind $path: the peer is BACKUP" soon peer_is BACKUP
    check "$kind $path: two megabytes of TCP" lots
    # As the unit's sandbox lets it.
    check "$kind $path: a thread may be bound" not sh -c 'journalctl --quiet --unit netisrd | grep "not bound"'
    [ $kind != bond ] || slaves
    ip link del "$dev"
    check "$kind $path: $dev is deleted, the peer takes over" soon peer_is MASTER
    check "$kind $path: it is no MASTER" soon active '1 INIT'
    check "$kind $path: the client is answered by the peer" soon served
    make_$kind
    check "$kind $path: $dev is made again, and it is MASTER again" soon active '1 MASTER'
    check "$kind $path: the peer is BACKUP" soon peer_is BACKUP
    check "$kind $path: the client is answered by it" soon served
    systemctl stop netisrd
    check "$kind $path: it ends, the peer takes over" soon peer_is MASTER
    check "$kind $path: nothing of carp0 is left" not ip link show carp0
    ip link del "$dev"
    gone
}
# One slave dies under the MASTER, then the other.
slaves() {
    before=$(transitions)
    for died in box:eth1 box1:eth0; do
        ip -n lan link set "${died%:*}" down
        check "bond $path: ${died%:*} dies, ${died#*:} is the active slave" \
            soon grep -q "${died#*:}" /sys/class/net/bond0/bonding/active_slave
        check "bond $path: the client is answered" soon served
        ip -n lan link set "${died%:*}" up
        soon grep -q 'up' "/sys/class/net/$([ "${died%:*}" = box ] && echo eth0 || echo eth1)/operstate"
    done
    check "bond $path: no transition" is "$before" "$(transitions)"
}
for path in macvlan tap; do
    on vlan vlan10 $path
    on bond bond0 $path
    on bridge brp $path
done
