# shellcheck shell=sh disable=SC2034 # the parts use it
# What the parts have in common: checks, and a LAN with the machine (eth0), a peer and
# a client on it, which have namespaces of their own.
vip=10.0.0.1
vip6=fd00::1
vmac=00:00:5e:00:01:01
deb=$(echo netisrd_*.deb)

# check NAME COMMAND...: one line, with what the command has said if it fails.
check() {
    name=$1
    shift
    if said=$("$@" 2>&1); then
        echo "ok      $name"
    else
        echo "FAILED  $name: status $?: $said"
        failed=$((failed + 1))
        journalctl --quiet --output=short-monotonic --lines=6 | cut -c1-160 | sed 's/^/        | /'
    fi
}
# is WHAT IS: so it must be; else it says what it is.
is() { [ "$2" = "$1" ] || { echo "expected: $1; is: $2"; return 1; }; }
not() { ! "$@"; }
# soon COMMAND...: within 20 seconds.
soon() {
    tries=0
    until said_soon=$("$@" 2>&1); do
        tries=$((tries + 1))
        [ $tries -lt 50 ] || { echo "not for 20 s: $said_soon"; return 1; }
        sleep 0.4
    done
}

in_client() { ip netns exec client "$@"; }
# wire NAMESPACE IF PORT: a cable from there to the LAN's bridge.
wire() {
    ip -n lan link add "$3" type veth peer name "$2" netns "$1"
    ip -n lan link set "$3" master br0 up
    ip -n "$1" link set "$2" up
}
# Its interface that peer and client use.
lan_dev=eth0
# Its interface that peer and client use.
lan_dev=eth0
lan() {
    for ns in lan peer client; do
        ip netns add "$ns"
        ip -n "$ns" link set lo up
    done
    ln -sf /proc/1/ns/net /run/netns/box
    ip -n lan link add br0 type bridge
    ip -n lan link set br0 up
    wire box eth0 box
    wire peer eth0 peer
    wire client eth0 client
    udevadm settle
    addresses box eth0 2
    addresses peer eth0 3
    addresses client eth0 9
}
# addresses NAMESPACE IF N
addresses() {
    ip -n "$1" addr add "10.0.0.$3/24" dev "$2"
    ip -n "$1" addr add "fd00::$3/64" dev "$2" nodad
}
no_lan() {
    for ns in lan peer client; do
        ip netns del $ns
    done
    rm -f /run/netns/box
}

# configured PARENT LINE...: the machine's configuration.
configured() {
    parent=$1
    shift
    mkdir -p /etc/netisrd/carp.d
    # shellcheck disable=SC2016
    printf '#!/bin/sh\necho "$CARP_INTERFACE $CARP_STATE $CARP_REASON" >>/run/told\n' >/etc/netisrd/carp.d/10-tell
    chmod 755 /etc/netisrd/carp.d/10-tell
    umask 077
    echo secret >/etc/netisrd.key
    [ -z "${options:-}" ] || echo "$options" >/etc/default/netisrd
    {
        echo "netisrd_interfaces=\"$parent\""
        echo net.inet.carp.preempt=1
        echo 'cloned_interfaces="carp0"'
        echo "ifconfig_carp0=\"vhid 1 passfile /etc/netisrd.key $vip/24\""
        echo "ifconfig_carp0_ipv6=\"inet6 $vip6/64\""
        [ $# = 0 ] || printf '%s\n' "$@"
    } >/etc/netisrd.conf
    umask 022
}
# peer: the other machine, which is no service of this package.
peer() {
    mkdir -p /vm/peer/carp.d
    echo secret >/vm/peer/key
    chmod 600 /vm/peer/key
    cat >/vm/peer/netisrd.conf <<END
netisrd_interfaces="${lan_dev}"
cloned_interfaces="carp0"
ifconfig_carp0="vhid 1 advskew 100 passfile /vm/peer/key $vip/24"
ifconfig_carp0_ipv6="inet6 $vip6/64"
END
    sed s,/run/told,/run/peer-told, /etc/netisrd/carp.d/10-tell >/vm/peer/carp.d/10-tell
    chmod 755 /vm/peer/carp.d/10-tell
    cp /usr/sbin/netisrd /vm/peer/netisrd
    systemd-run --quiet --unit=peer --service-type=notify -p NetworkNamespacePath=/run/netns/peer -p KillMode=mixed \
        /vm/peer/netisrd -f /vm/peer/netisrd.conf -S /run/peer.sock --hooks /vm/peer/carp.d
}

prop() { systemctl show --property="$1" --value netisrd; }
state() { ifconfig-carp "$@" carp0 | sed -n 's/.*carp: \([A-Z]*\) .*/\1/p'; }
is_state() { is "$1" "$(state)"; }
peer_is() { is "$1" "$(state -S /run/peer.sock)"; }
installed() { dpkg --install "$@" >/run/dpkg.log 2>&1 || { cat /run/dpkg.log; return 1; }; }
active() {
    is active "$(systemctl is-active netisrd)" && is "$1" "$(prop StatusText)"
}
# answers ADDRESS: from the client.
answers() { in_client ping -n -q -c 1 -W 1 "$1"; }
# All who say that they have the address.
arp_by() { in_client arping -c 3 -w 5 -I "$lan_dev" "$1" | sed -n 's/.*\[\(.*\)\].*/\1/p' | tr A-F a-f | sort -u; }
# Both families, by the virtual MAC alone.
served() {
    answers $vip && answers $vip6 && is $vmac "$(arp_by $vip)" &&
        is $vmac "$(in_client ip neigh show $vip6 dev "$lan_dev" | sed -n 's/.*lladdr \([^ ]*\).*/\1/p')"
}
# quietly COMMAND...: it succeeds, in the three seconds of it and the three after it no
# echo of the virtual address is lost, and carp0 has no transition, here nor there.
transitions() { grep -hs '^carp0 ' /run/told /run/peer-told; }
quietly() {
    before=$(transitions)
    in_client ping -n -q -c 60 -i 0.1 -W 1 $vip >/run/ping &
    "$@" || return
    wait $! || { cat /run/ping; return 1; }
    grep -q ' 0% packet loss' /run/ping || { cat /run/ping; return 1; }
    is "$before" "$(transitions)"
}
# What there is of the host's network, files and processes that could be left.
residue() {
    ip -o link | sed 's/^[0-9]*: //'
    ip rule
    ip -6 rule
    ip -o addr show dev eth0 | sed 's/valid_lft.*//'
    ip route show table all | grep -v '^ff00'
    ip -6 route show table all | sed 's/ expires.*//'
    sysctl -a --pattern '^net\.ipv[46]\.(conf|neigh)' 2>/dev/null
    find /run -path /run/systemd -prune -o -path /run/user -prune -o -name 'netisrd*' -print -o -name 'carp*' -print
    pgrep -l -x 'netisrd' | grep -v "$(systemctl show -p MainPID --value peer)"
}
# serving PARENT LINE...: installed and MASTER, with a peer, on the LAN that there is.
serving() {
    check 'the package installs' installed "$deb"
    configured "$@"
    peer
    systemctl start netisrd
    check "it is MASTER on $1" soon active '1 MASTER'
    check 'the client is answered in both families, by the virtual MAC alone' soon served
}
# The same on a card.
running() {
    lan
    serving "$@"
}
# The same program as another file, as an upgrade puts it there.
another_program() {
    cp /usr/sbin/netisrd /usr/sbin/netisrd.new
    mv /usr/sbin/netisrd.new /usr/sbin/netisrd
}
# The end of a part.
gone() {
    dpkg --purge netisrd >/run/dpkg.log 2>&1 || cat /run/dpkg.log
    systemctl stop peer
    rm -rf /etc/netisrd /etc/netisrd.key /run/told /run/peer* /run/ping /run/upgrade.log
    no_lan
    lan_dev=eth0
    options=
}
