# shellcheck shell=sh disable=SC2034,SC2086,SC2154 # lib.sh has them, and plain words
# From one version to another under a running machine, and all of it away.
# with NAME VERSION [COMMAND]: the same package with another number, changed by COMMAND
# in its folder.
with() {
    dpkg-deb -R "$deb" /run/package
    sed -i "s/^Version: .*/Version: $2/" /run/package/DEBIAN/control
    [ $# = 2 ] || (cd /run/package && eval "$3")
    dpkg-deb -Znone -b /run/package "/vm/$1.deb" >/dev/null
    rm -r /run/package
}
listing() {
    find /etc /usr /var /run -xdev \( -path /var/lib/dpkg -o -path /var/log -o -path /var/cache -o -path /run/user \
        -o -path /run/systemd -o -path /run/udev -o -path /run/log -o -path /run/netns -o -path /run/before -o -path /run/after \
        -o -path /run/dpkg.log \) -prune -o -print | sort
}
version=$(dpkg-deb -f "$deb" Version)
with old 0.0.1
with broken 9.0 'printf "#!/bin/sh\necho I am broken >&2\nexit 1\n" >usr/sbin/netisrd'
new=$deb
listing >/run/before
deb=/vm/old.deb
running eth0
deb=$new
systemctl enable --quiet netisrd
pid=$(prop MainPID)
check 'an upgrade: no transition, no echo lost' quietly installed "$deb"
check 'the version is the new one' is "$version" "$(dpkg-query -W -f '${Version}' netisrd)"
upgraded() { active '1 MASTER' && not is "$pid" "$(prop MainPID)" >/dev/null && not test -e "/proc/$pid"; }
check 'the new program goes on as the service' soon upgraded
check 'it was not restarted' is 0 "$(prop NRestarts)"
check 'the configuration is the administrator'\''s' grep -q passfile /etc/netisrd.conf
pid=$(prop MainPID)

check 'an upgrade to a program that cannot start: no transition, no echo lost' quietly installed /vm/broken.deb
check 'the old one goes on' is "$pid active" "$(prop MainPID) $(systemctl is-active netisrd)"
check 'and back: no transition, no echo lost' quietly installed --force-downgrade "$deb"
check 'the new program goes on as the service' soon upgraded

check 'remove stops it' dpkg --remove netisrd
check 'the peer is MASTER, because it has bowed out' soon is 'carp0 MASTER master-left' "$(tail -n 1 /run/peer-told)"
check 'the configuration is kept' grep -q passfile /etc/netisrd.conf
check 'installed again it is enabled as it was' installed "$deb"
check 'and starts' systemctl start netisrd
check 'it is MASTER' soon active '1 MASTER'
check 'purge' dpkg --purge netisrd
check 'systemd does not know it' is 'not-found inactive' "$(systemctl show -p LoadState --value netisrd) $(systemctl is-active netisrd)"
check 'nor any failed unit' is '' "$(systemctl --failed --quiet --plain --no-legend)"
gone
listing >/run/after
check 'nothing is left' diff /run/before /run/after
