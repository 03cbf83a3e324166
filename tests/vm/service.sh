# shellcheck shell=sh disable=SC2034,SC2086,SC2154 # lib.sh has them, and plain words
# Reload, upgrade, watchdog, restart.
running eth0

check 'reload of the same file changes nothing' quietly systemctl reload netisrd
sed -i -e 's/"carp0"/"carp0 carp1"/' -e '$a ifconfig_carp1="vhid 2 pass other 10.0.0.4/24"' /etc/netisrd.conf
pid=$(prop MainPID)
check 'reload of one carp interface more leaves the other as it is' quietly systemctl reload netisrd
check 'STATUS says 2 MASTER' soon active '2 MASTER'
check 'the new one is served' answers 10.0.0.4
sed -i 's/preempt=1/preempt=frequently/' /etc/netisrd.conf
ifconfig-carp >/run/before
check 'reload of a bad file fails' not systemctl reload netisrd
ifconfig-carp >/run/after
check 'and changes nothing' diff /run/before /run/after
check 'and says why' sh -c 'journalctl --unit=netisrd --lines=10 | grep frequently'
sed -i 's/preempt=frequently/preempt=1/' /etc/netisrd.conf
check 'it is active all the time, as the same process' active '2 MASTER'
check 'the process is the same' is "$pid" "$(prop MainPID)"

another_program
check 'reload with a new program: no transition, no echo lost' quietly systemctl reload netisrd
upgraded() {
    is active "$(systemctl is-active netisrd)" && not is "$pid" "$(prop MainPID)" >/dev/null &&
        is /usr/sbin/netisrd "$(readlink "/proc/$(prop MainPID)/exe")" && not test -e "/proc/$pid"
}
check 'MAINPID is the new one, the old one has ended' soon upgraded
pid=$(prop MainPID)
check 'it is in the control group of the service' grep -q '/netisrd.service$' "/proc/$pid/cgroup"
beat=$(prop WatchdogTimestampMonotonic)
sleep 16
check 'the watchdog has heard of it all the time' is "active $pid 0" "$(systemctl is-active netisrd) $(prop MainPID) $(prop NRestarts)"
check 'and lately' test "$(prop WatchdogTimestampMonotonic)" -gt $((beat + 10000000))
check 'STATUS is right' active '2 MASTER'
restarted() { is "$1" "$(prop NRestarts)" && not is "$pid" "$(prop MainPID)" >/dev/null && active '2 MASTER'; }
kill -KILL "$pid"
check 'it is killed: it is restarted, and MASTER' soon restarted 1
check 'the client is answered by it' soon served

pid=$(prop MainPID)
another_program
# The new one keeps what it has for standard error.
typed() { netisrd upgrade "$pid" -f /etc/netisrd.conf 2>/run/upgrade.log; }
check 'netisrd upgrade, typed: no transition, no echo lost' quietly typed
check 'MAINPID is the new one, the old one has ended' soon upgraded
pid=$(prop MainPID)
sleep 16
check 'the watchdog has heard of it all the time' is "active $pid 1" "$(systemctl is-active netisrd) $(prop MainPID) $(prop NRestarts)"
kill -STOP "$pid"
check 'it is stopped: the peer takes over' soon peer_is MASTER
check 'the client is answered by the peer' soon served
check 'the watchdog has it restarted, and it is MASTER' soon restarted 2
check 'the peer has become BACKUP' soon peer_is BACKUP
check 'the client is answered by it' soon served
check 'nobody is left of those before' is "$(prop MainPID)" "$(pgrep -o -f '^/usr/sbin/netisrd')"

pid=$(prop MainPID)
another_program
check 'with a new program once more' quietly systemctl reload netisrd
pid=$(prop MainPID)
check 'systemd has it as its child' not sh -c "journalctl --quiet --unit=netisrd | grep 'not our child'"
check 'systemctl stop ends it' systemctl stop netisrd
check 'the process has ended' not test -e "/proc/$pid"
check 'it has bowed out: the peer is MASTER because of that' \
    is 'carp0 MASTER master-left' "$(grep '^carp0' /run/peer-told | tail -n 1)"
gone
