# shellcheck shell=sh disable=SC2034,SC2086,SC2154 # lib.sh has them, and plain words
# What the unit takes away, and what goes on all the same.
mkdir -p /etc/systemd/system/netisrd.service.d
printf '[Service]\nSupplementaryGroups=adm\n' >/etc/systemd/system/netisrd.service.d/group.conf
systemctl daemon-reload
options='NETISRD_OPTS="--socket-group adm --http 8080"'
running eth0

nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
adm() { setpriv --reuid=65534 --regid=4 --clear-groups "$@"; }
modes() { stat -c '%n %a %U %G' /run/netisrd.sock /run/netisrd-events.sock | tr '\n' ' '; }
check 'both sockets are for all, with their group' \
    is '/run/netisrd.sock 666 root adm /run/netisrd-events.sock 666 root adm ' "$(modes)"
check 'everybody may look' is MASTER "$(nobody ifconfig-carp carp0 | sed -n 's/.*carp: \([A-Z]*\) .*/\1/p')"
check 'nobody else may change anything' not nobody ifconfig-carp carp0 advskew 7
check 'the group may' adm ifconfig-carp carp0 advskew 7
check 'and it counts' sh -c 'ifconfig-carp carp0 | grep "advskew 7"'
snapshot() { nobody timeout 5 route-carp monitor --json | head -n 1 | grep '"event":"snapshot".*"state":"MASTER"'; }
check 'everybody may hear of events' snapshot
check 'metrics by HTTP' sh -c 'curl -sS http://127.0.0.1:8080/metrics | grep carp'
check 'not from elsewhere' not in_client curl -sS -m 3 "http://10.0.0.2:8080/metrics"

check 'programs on transitions have run, for the first one too' soon grep '^carp0 MASTER' /run/told
# What a program finds: its rights, and where it may write.
cat >/etc/netisrd/carp.d/20-rights <<'END'
#!/bin/sh
[ ! -e /run/rights ] || exit 0
exec >/run/rights 2>&1
grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status
for dir in /etc /usr /var/lib /root /run /tmp; do
    touch "$dir/netisrd-was-here" 2>/dev/null && echo "writes $dir"
done
ip addr add 10.0.0.77/32 dev lo && ip addr del 10.0.0.77/32 dev lo && echo 'adds addresses'
systemctl is-active netisrd
echo end
END
chmod 755 /etc/netisrd/carp.d/20-rights
ifconfig-carp carp0 state backup
check 'a program on transitions runs to its end' soon grep -x end /run/rights
rights='CapEff: 0000000000003000 CapBnd: 0000000000003000 NoNewPrivs: 1 writes /run writes /tmp adds addresses active end '
check 'with the two capabilities, and /run and a /tmp of its own to write to' \
    is "$rights" "$(tr '\t\n' '  ' </run/rights)"
check 'which is not the /tmp of others' not test -e /tmp/netisrd-was-here
rm -f /run/rights /run/netisrd-was-here

status_of() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$(prop MainPID)/status"; }
check 'the process has the two capabilities and no more' \
    is '0000000000003000 0000000000003000 1 2' "$(for f in CapEff CapBnd NoNewPrivs Seccomp; do status_of $f; done | tr '\n' ' ' | sed 's/ $//')"
warnings() { journalctl --quiet "_SYSTEMD_INVOCATION_ID=$(prop InvocationID)" | grep -E ' (WARN|ERROR) '; }
check 'it has warned of nothing' not warnings
gone
rm -r /etc/systemd/system/netisrd.service.d
systemctl daemon-reload
