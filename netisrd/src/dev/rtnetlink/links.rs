//! Links of the host: what they are, and what is made and changed of them.

use super::RtNetlink;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage as Route;
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, BridgePortState, InfoBridgePort, InfoData, InfoKind, InfoMacVlan,
    InfoPortData, LinkAttribute, LinkFlags, LinkHeader, LinkInfo, LinkMessage, MacVlanMode, State,
};
use nix::errno::Errno as Linux;

/// A link of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostLink {
    pub(crate) index: u32,
    pub(crate) name: String,
    /// `ip link set alias`
    pub(crate) alias: String,
    pub(crate) up: bool,
    /// It is up, and its cable is in.
    pub(crate) has_carrier: bool,
    /// `ip link set group`
    pub(crate) group: u32,
    /// The link that it lives on.
    pub(crate) lower: Option<u32>,
    /// What made it; none of a physical one.
    pub(crate) kind: Option<InfoKind>,
    /// `ARPHRD_*`
    pub(crate) hatype: u16,
    /// None where addresses are not Ethernet's.
    pub(crate) lladdr: Option<[u8; 6]>,
    pub(crate) carrier: bool,
    /// RFC 2863's `ifOperStatus`.
    pub(crate) oper: Option<State>,
    /// The bridge or other bundle that it is part of.
    pub(crate) controller: Option<u32>,
    /// Of a bridge's port.
    pub(crate) port_state: Option<BridgePortState>,
    pub(crate) mtu: u32,
    /// Milliseconds, `mldv1_unsolicited_report_interval`; none of a link without IPv6.
    pub(crate) mld_report: Option<i32>,
}

/// What tells a link before it can have an alias.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Making {
    pub(crate) group: u32,
    pub(crate) lladdr: [u8; 6],
}

impl HostLink {
    pub(crate) fn is_macvlan(&self) -> bool {
        self.kind == Some(InfoKind::MacVlan)
    }

    pub(crate) fn is_bridge(&self) -> bool {
        self.kind == Some(InfoKind::Bridge)
    }

    /// A frame sent here now reaches the segment, and one of the segment
    /// reaches us.
    pub(crate) fn passes_frames(&self) -> bool {
        // A driver that never reports its state has none.
        let oper = matches!(self.oper, None | Some(State::Up | State::Unknown));
        let port = self.controller.is_none() || self.port_state == Some(BridgePortState::Forwarding);
        self.has_carrier && oper && port
    }
}

impl RtNetlink {
    /// All links.
    pub(crate) fn links(&mut self) -> nix::Result<Vec<HostLink>> {
        let answers = self.dump(&Route::GetLink(LinkMessage::default()))?;
        Ok(answers.into_iter().filter_map(link).collect())
    }

    /// The link called `name`; `ENODEV` when there is none.
    pub(crate) fn link_by_name(&mut self, name: &str) -> nix::Result<HostLink> {
        let mut m = LinkMessage::default();
        m.attributes = vec![LinkAttribute::IfName(name.to_owned())];
        self.link(m)
    }

    /// The link with this index; `ENODEV` when it is gone. The answer waits for a
    /// removal that is under way.
    pub(crate) fn link_by_index(&mut self, index: u32) -> nix::Result<HostLink> {
        let mut m = LinkMessage::default();
        m.header.index = index;
        self.link(m)
    }

    fn link(&mut self, of: LinkMessage) -> nix::Result<HostLink> {
        let answers = self.ask(Route::GetLink(of), 0)?;
        answers.into_iter().find_map(link).ok_or(Linux::EBADMSG)
    }

    /// What a link is part of that takes all its frames, so that it can have no macvlan,
    /// and what can in its place.
    pub(crate) fn taken_by(&mut self, link: &HostLink) -> Option<String> {
        let of = self.link_by_index(link.controller?).ok()?;
        let (name, of_name) = (&link.name, &of.name);
        match of.kind? {
            InfoKind::Bridge => Some(format!(
                "{name} is a port of the bridge {of_name}: use -i {of_name}, or -i {name}:tap with carpdev {name}"
            )),
            InfoKind::Bond | InfoKind::Team => {
                Some(format!("{name} is a port of {of_name}: use -i {of_name}"))
            }
            _ => None,
        }
    }

    /// `ip link add link LOWER name NAME address LLADDR group GROUP type macvlan mode
    /// bridge`
    pub(crate) fn add_macvlan(&mut self, name: &str, lower: u32, making: Making) -> nix::Result<()> {
        let mut m = LinkMessage::default();
        m.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Link(lower),
            LinkAttribute::Address(making.lladdr.to_vec()),
            LinkAttribute::Group(making.group),
            macvlan(MacVlanMode::Bridge),
        ];
        self.ask(Route::NewLink(m), NLM_F_CREATE | NLM_F_EXCL).map(drop)
    }

    /// `ip link set alias`
    pub(crate) fn set_alias(&mut self, index: u32, alias: &str) -> nix::Result<()> {
        self.change(index, vec![LinkAttribute::IfAlias(alias.to_owned())])
    }

    /// `ip link set group default alias`
    pub(crate) fn finish(&mut self, index: u32, alias: &str) -> nix::Result<()> {
        self.change(index, vec![LinkAttribute::IfAlias(alias.to_owned()), LinkAttribute::Group(0)])
    }

    /// `ip link set address`
    pub(crate) fn set_lladdr(&mut self, index: u32, lladdr: [u8; 6]) -> nix::Result<()> {
        self.change(index, vec![LinkAttribute::Address(lladdr.to_vec())])
    }

    /// `ip link set master`
    pub(crate) fn set_master(&mut self, index: u32, bridge: u32) -> nix::Result<()> {
        self.change(index, vec![LinkAttribute::Controller(bridge)])
    }

    /// `ip link set mtu`
    pub(crate) fn set_mtu(&mut self, index: u32, mtu: u32) -> nix::Result<()> {
        self.change(index, vec![LinkAttribute::Mtu(mtu)])
    }

    /// `ip link set up` or `down`
    pub(crate) fn set_up(&mut self, index: u32, up: bool) -> nix::Result<()> {
        let mut m = LinkMessage::default();
        m.header = LinkHeader { index, change_mask: LinkFlags::Up, ..LinkHeader::default() };
        m.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
        self.ask(Route::NewLink(m), 0).map(drop)
    }

    fn change(&mut self, index: u32, attributes: Vec<LinkAttribute>) -> nix::Result<()> {
        let mut m = LinkMessage::default();
        m.header.index = index;
        m.attributes = attributes;
        self.ask(Route::NewLink(m), 0).map(drop)
    }

    /// `ip link del NAME`
    pub(crate) fn delete_link_named(&mut self, name: &str) -> nix::Result<()> {
        let mut m = LinkMessage::default();
        m.attributes = vec![LinkAttribute::IfName(name.to_owned())];
        self.ask(Route::DelLink(m), 0).map(drop)
    }

    /// `ip link del`
    pub(crate) fn delete_link(&mut self, index: u32) -> nix::Result<()> {
        let mut m = LinkMessage::default();
        m.header.index = index;
        self.ask(Route::DelLink(m), 0).map(drop)
    }

    /// All of them, in the time that one takes: as a `group` that nobody else is in.
    /// Those that are gone already are none.
    pub(crate) fn delete_links(&mut self, indexes: &[u32], group: u32) -> nix::Result<()> {
        let done = match indexes {
            [] => Ok(()),
            [index] => self.delete_link(*index),
            many => {
                for index in many {
                    match self.change(*index, vec![LinkAttribute::Group(group)]) {
                        Ok(()) | Err(Linux::ENODEV) => {}
                        Err(e) => return Err(e),
                    }
                }
                let mut m = LinkMessage::default();
                m.attributes = vec![LinkAttribute::Group(group)];
                self.ask(Route::DelLink(m), 0).map(drop)
            }
        };
        match done {
            Err(Linux::ENODEV) => Ok(()),
            done => done,
        }
    }
}

fn macvlan(mode: MacVlanMode) -> LinkAttribute {
    LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::MacVlan),
        LinkInfo::Data(InfoData::MacVlan(vec![InfoMacVlan::Mode(mode)])),
    ])
}

fn link(answer: Route) -> Option<HostLink> {
    let Route::NewLink(m) = answer else { return None };
    let flags = m.header.flags;
    let mut link = HostLink {
        index: m.header.index,
        up: flags.contains(LinkFlags::Up),
        has_carrier: flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
        hatype: m.header.link_layer_type.into(),
        ..HostLink::default()
    };
    for attribute in m.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::IfAlias(alias) => link.alias = alias,
            LinkAttribute::Group(group) => link.group = group,
            LinkAttribute::Link(lower) => link.lower = Some(lower),
            LinkAttribute::Address(lladdr) => link.lladdr = lladdr.try_into().ok(),
            LinkAttribute::Carrier(carrier) => link.carrier = carrier != 0,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Controller(of) => link.controller = Some(of).filter(|of| *of != 0),
            LinkAttribute::OperState(state) => link.oper = Some(state),
            LinkAttribute::AfSpecUnspec(of) => link.mld_report = of.iter().find_map(mld_report),
            LinkAttribute::LinkInfo(info) => info.into_iter().for_each(|one| link.learn(one)),
            _ => {}
        }
    }
    Some(link)
}

fn mld_report(of: &AfSpecUnspec) -> Option<i32> {
    let AfSpecUnspec::Inet6(inet6) = of else { return None };
    inet6.iter().find_map(|one| match one {
        AfSpecInet6::DevConf(conf) => Some(conf.mldv1_unsolicited_report_interval),
        _ => None,
    })
}

impl HostLink {
    fn learn(&mut self, info: LinkInfo) {
        match info {
            LinkInfo::Kind(kind) => self.kind = Some(kind),
            LinkInfo::PortData(InfoPortData::BridgePort(port)) => {
                self.port_state = port.into_iter().find_map(|one| match one {
                    InfoBridgePort::State(state) => Some(state),
                    _ => None,
                });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use netlink_packet_core::{NetlinkDeserializable, NetlinkHeader};

    fn attr(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut a = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
        a.extend(kind.to_ne_bytes());
        a.extend(value);
        a.resize(a.len().next_multiple_of(4), 0);
        a
    }

    /// A port of a bridge, with `state`.
    fn port(state: u8) -> Vec<u8> {
        const IFLA_BRPORT_STATE: u16 = 1;
        let mut body = vec![0, 0];
        body.extend(1u16.to_ne_bytes());
        body.extend(7u32.to_ne_bytes());
        body.extend(((libc::IFF_UP | libc::IFF_LOWER_UP) as u32).to_ne_bytes());
        body.extend([0; 4]);
        body.extend(attr(libc::IFLA_IFNAME, b"em0\0"));
        body.extend(attr(libc::IFLA_ADDRESS, &[2, 1, 2, 3, 4, 5]));
        body.extend(attr(libc::IFLA_MTU, &1500u32.to_ne_bytes()));
        body.extend(attr(libc::IFLA_MASTER, &3u32.to_ne_bytes()));
        body.extend(attr(libc::IFLA_OPERSTATE, &[6]));
        let mut info = attr(libc::IFLA_INFO_KIND, b"tun\0");
        info.extend(attr(libc::IFLA_INFO_SLAVE_KIND, b"bridge\0"));
        info.extend(attr(libc::IFLA_INFO_SLAVE_DATA, &attr(IFLA_BRPORT_STATE, &[state])));
        body.extend(attr(libc::IFLA_LINKINFO | 0x8000, &info));
        body
    }

    fn parsed(body: &[u8]) -> Option<HostLink> {
        let mut header = NetlinkHeader::default();
        header.message_type = libc::RTM_NEWLINK;
        Route::deserialize(&header, body).ok().and_then(link)
    }

    #[test]
    fn a_port_passes_frames_once_it_forwards() {
        let link = parsed(&port(3)).unwrap();
        let want = HostLink {
            index: 7,
            name: "em0".into(),
            up: true,
            has_carrier: true,
            kind: Some(InfoKind::Tun),
            hatype: 1,
            lladdr: Some([2, 1, 2, 3, 4, 5]),
            oper: Some(State::Up),
            controller: Some(3),
            port_state: Some(BridgePortState::Forwarding),
            mtu: 1500,
            ..HostLink::default()
        };
        assert_eq!(link, want);
        assert!(link.passes_frames());
        for state in [0, 1, 2, 4] {
            assert!(!parsed(&port(state)).unwrap().passes_frames(), "state {state}");
        }
        assert!(!HostLink { port_state: None, ..want.clone() }.passes_frames());
        assert!(HostLink { port_state: None, controller: None, ..want.clone() }.passes_frames());
        assert!(!HostLink { oper: Some(State::Down), ..want.clone() }.passes_frames());
        assert!(!HostLink { has_carrier: false, ..want }.passes_frames());
    }

    #[test]
    fn a_message_cut_anywhere_is_survived() {
        let whole = port(3);
        for n in 0..whole.len() {
            let _ = parsed(&whole[..n]);
        }
        for n in 0..whole.len() {
            for v in [0, 1, 3, 0xff] {
                let mut bent = whole.clone();
                bent[n] = v;
                let _ = parsed(&bent);
            }
        }
    }

    #[test]
    fn loopback_is_there_and_others_are_not() {
        let mut rt = RtNetlink::new().unwrap();
        let lo = rt.link_by_name("lo").unwrap();
        assert_eq!((lo.hatype, lo.name.as_str()), (libc::ARPHRD_LOOPBACK, "lo"));
        assert_eq!(rt.link_by_index(lo.index).unwrap().index, lo.index);
        assert_eq!(rt.link_by_name("no_such_link"), Err(Linux::ENODEV));
        assert_eq!(rt.link_by_index(0x7fff_ffff), Err(Linux::ENODEV));
    }
}
