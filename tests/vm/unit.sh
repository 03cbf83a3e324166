# shellcheck shell=sh disable=SC2034,SC2086,SC2154 # lib.sh has them, and plain words
# The package on a machine that systemd runs, its start and its end.
lan
check 'the package installs' installed "$deb"
check 'installing starts nothing and enables nothing' \
    is 'disabled inactive' "$(systemctl is-enabled netisrd 2>&1) $(systemctl is-active netisrd)"
configured eth0
peer
check 'without it the peer is MASTER' soon peer_is MASTER
exposure() { systemd-analyze security --no-pager netisrd.service | sed -n 's/.*Overall exposure level.*: \([0-9.]* [A-Z]*\).*/\1/p'; }
check 'systemd-analyze security says what docs/packaging.md says' is '2.6 OK' "$(exposure)"
residue >/run/before
check 'it is enabled and starts' systemctl enable --quiet --now netisrd
check 'it is active, STATUS says 1 MASTER' soon active '1 MASTER'
check 'the peer has become BACKUP' soon peer_is BACKUP
check 'carp0 is a macvlan with the virtual MAC' \
    sh -c "ip -d link show carp0 | tr '\n' ' ' | grep '$vmac.*macvlan mode bridge'"
check 'a client is answered in both families, by the virtual MAC alone' served
check 'systemctl stop ends it' systemctl stop netisrd
check 'it has bowed out: the peer is MASTER because of that' \
    is 'carp0 MASTER master-left' "$(tail -n 1 /run/peer-told)"
check 'the client is answered by the peer' served
residue >/run/after
check 'nothing is left: links, rules, routes, settings, sockets, processes' diff /run/before /run/after
check 'it starts again' systemctl start netisrd
check 'it is MASTER again' soon active '1 MASTER'
check 'the client is answered by it' served
gone
