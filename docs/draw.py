#!/usr/bin/env python3
"""Draws docs/threads.svg, docs/frame.svg and docs/design/*.svg. Run it from
anywhere after a change: python3 docs/draw.py"""

from pathlib import Path
from xml.sax.saxutils import escape

HERE = Path(__file__).parent
STYLE = """
  .bg { fill: #ffffff }
  text { font: 13px ui-sans-serif, 'DejaVu Sans', Helvetica, sans-serif; fill: #1b2733 }
  .small { font-size: 11px; fill: #51606f }
  .title { font-weight: 600 }
  .mono { font-family: ui-monospace, 'DejaVu Sans Mono', monospace; font-size: 12px }
  .box { stroke-width: 1.4; rx: 6 }
  .zero { fill: #e7f0fb; stroke: #2d6cb5 }
  .other { fill: #eef6ea; stroke: #4d8a34 }
  .linux { fill: #f4f1ea; stroke: #8a7b58 }
  .state { fill: #fdf3e1; stroke: #c08a1e }
  .arrow { stroke: #34424f; stroke-width: 1.4; fill: none; marker-end: url(#head) }
  .sync { stroke: #b03a3a; stroke-dasharray: 5 3; stroke-width: 1.4; fill: none; marker-end: url(#headr) }
  .old { fill: #f6f1f1; stroke: #b03a3a; stroke-dasharray: 5 3 }
  .lane { stroke: #c9d2da; stroke-width: 1 }
  .letter { font-weight: 700; fill: #b03a3a }
  .synctext { fill: #b03a3a; font-size: 11px }
"""


class Picture:
    def __init__(self, width, height, label):
        self.parts = []
        self.width, self.height, self.label = width, height, label

    def box(self, x, y, w, h, kind, lines):
        self.parts.append(f'<rect class="box {kind}" x="{x}" y="{y}" width="{w}" height="{h}"/>')
        for i, line in enumerate(lines):
            cls = "title" if i == 0 else "small"
            self.text(x + 10, y + 20 + 16 * i, line, cls)

    def text(self, x, y, s, cls="", anchor="start"):
        self.parts.append(f'<text class="{cls}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(s)}</text>')

    def arrow(self, points, cls="arrow"):
        d = "M" + " L".join(f"{x} {y}" for x, y in points)
        self.parts.append(f'<path class="{cls}" d="{d}"/>')

    def write(self, name):
        head = lambda i, c: (
            f'<marker id="{i}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
            f'orient="auto-start-reverse"><path d="M0 0 L8 4 L0 8 z" fill="{c}"/></marker>'
        )
        svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" role="img" aria-label="{escape(self.label)}">'
            f"<style>{STYLE}</style><defs>{head('head', '#34424f')}{head('headr', '#b03a3a')}</defs>"
            f'<rect class="bg" width="{self.width}" height="{self.height}"/>' + "\n".join(self.parts) + "</svg>\n"
        )
        (HERE / name).write_text(svg, encoding="utf-8")


def threads():
    p = Picture(1000, 470, "Threads of a machine and who talks to whom")
    p.box(20, 20, 200, 92, "linux", ["ifconfig-carp", "sysctl-, netstat-, route-carp", "BSD's ioctls and sysctls,", "one packet each"])
    p.box(20, 160, 200, 92, "linux", ["main thread: a process", "control socket, signals", "holds Proc: may domsg()", "netisrd/host/control.rs"])
    p.box(300, 90, 270, 220, "zero", [
        "netisr0", "all configuration, addresses, routes", "CARP: advertisements, timeouts, states",
        "ARP and ND: answers and learns", "callouts (a timer of its own)", "its share of queues and of IP", "",
        "token: Netisr0, opens Netisr0Cell,", "swaps QsCells, synchronises"])
    p.box(740, 60, 240, 96, "other", ["netisr 1", "its queues, its share of IP", "token: Netisr, loads QsCells", "own copy of routes, neighbours"])
    p.box(740, 190, 240, 96, "other", ["netisr n-1", "the same", "no Proc, no Netisr0:", "cannot wait, cannot configure"])
    p.box(300, 370, 270, 80, "state", ["QsCells: if_carp, sc_carpdev,", "interfaces, addresses", "netisr0 copies and switches,", "everyone loads"])
    p.box(740, 370, 240, 80, "linux", ["devices", "taps (a queue for each netisr),", "pcap, LAN in memory", "netisrd/dev"])
    p.arrow([(120, 112), (120, 158)])
    p.text(128, 140, "SOCK_SEQPACKET", "small")
    p.arrow([(220, 206), (298, 206)])
    p.text(224, 198, "domsg", "small")
    p.arrow([(570, 105), (738, 90)])
    p.text(576, 82, "neighbours, routes, queues", "small")
    p.arrow([(738, 140), (572, 160)])
    p.text(640, 176, "CARP, ARP, ND, IP", "small")
    p.arrow([(570, 196), (738, 120)], "sync")
    p.arrow([(570, 214), (738, 230)], "sync")
    p.text(578, 246, "service_sync: a message", "synctext")
    p.text(578, 260, "to each, and its reply", "synctext")
    p.arrow([(435, 310), (435, 368)], "sync")
    p.text(445, 344, "copy, switch, sync, free", "synctext")
    p.arrow([(740, 280), (572, 385)])
    p.text(668, 344, "load, once", "small")
    p.arrow([(860, 368), (860, 288)])
    p.text(868, 332, "frames", "small")
    p.write("threads.svg")


def frame():
    p = Picture(900, 520, "A frame's way through the machine")
    p.box(20, 20, 250, 60, "linux", ["device queue q", "read by one netisr alone, 64 at a time"])
    p.box(20, 120, 250, 92, "other", ["ether_input", "on the netisr that owns q", "if_carp loaded once into cif"])
    p.box(20, 252, 250, 108, "other", ["carp_input(cif)", "virtual MAC of a running MASTER?", "advertisement: by its vhid", "one step: cif's index, any number"])
    p.box(330, 252, 250, 76, "other", ["that carp interface's", "rcvif = carpN, as if it had", "come in there"])
    p.box(330, 120, 250, 92, "other", ["ether_demux", "to our MAC, or multicast?", "ARP, ND | IPv4, IPv6 | protocol 112"])
    p.box(640, 20, 240, 60, "zero", ["arpintr, nd6, netisr0", "answer for MASTERs, learn"])
    p.box(640, 120, 240, 92, "other", ["ip_input, ip6_input", "on netisr hash(src, dst)", "header checks, is it ours?", "ICMP and ICMPv6 echo"])
    p.box(640, 252, 240, 108, "zero", ["carp_proto_input, netisr0", "TTL, length, checksum, version,", "own echo?, digest", "then the state machine"])
    p.box(640, 410, 240, 92, "zero", ["setrun, master_down", "advertise, announce (ARP, NA),", "routes, callouts"])
    p.box(330, 410, 250, 92, "other", ["ether_output", "a carp interface's frame leaves by", "its parent, under the virtual MAC"])
    p.box(20, 410, 250, 92, "linux", ["device", "on this netisr's own queue,", "no lock"])
    p.arrow([(145, 80), (145, 118)])
    p.arrow([(145, 212), (145, 250)])
    p.arrow([(270, 290), (328, 290)])
    p.text(276, 282, "claimed", "small")
    p.arrow([(455, 250), (455, 214)])
    p.arrow([(270, 262), (328, 190)])
    p.text(276, 214, "parent's", "small")
    p.arrow([(580, 140), (638, 60)])
    p.text(572, 72, "ARP, ND", "small")
    p.arrow([(580, 166), (638, 166)])
    p.text(590, 160, "IP", "small")
    p.arrow([(580, 196), (638, 290)])
    p.text(586, 270, "112", "small")
    p.arrow([(760, 360), (760, 408)])
    p.arrow([(638, 456), (582, 456)])
    p.arrow([(328, 456), (272, 456)])
    p.write("frame.svg")


def switch(name, label, before, after, old_parent, new_parent):
    """One change of an if_carp: the old list, the new one, and what they share."""
    p = Picture(900, 330, label)
    p.box(20, 120, 130, 60, "other", ["em0", "ifnet.if_carp"])
    softcs = {s: 110 + 75 * i for i, s in enumerate(sorted(set(before) | set(after)))}
    for s, y in softcs.items():
        p.box(730, y - 30, 150, 54, "state", [s, f"sc_carpdev: {new_parent if s == before_or_after(before, after) else 'em0'}"])
    rows = [("old", 40, "carp_if, the old one", before), ("zero", 210, "carp_if, the new one", after)]
    for kind, y, title, members in rows:
        p.box(260, y, 360, 80, kind, [title])
        for i, s in enumerate(members):
            x = 275 + 112 * i
            p.box(x, y + 32, 102, 36, kind, [f"scc: vhid {s[-1]}"])
            p.arrow([(x + 102, y + 50), (728, softcs[s])], "sync" if kind == "old" else "arrow")
    p.arrow([(150, 140), (258, 80)], "sync")
    p.text(20, 84, "before A; and until D for those", "synctext")
    p.text(20, 98, "who loaded it before A", "synctext")
    p.arrow([(150, 160), (258, 250)])
    p.text(154, 232, "from A on", "small")
    p.text(260, 28, "freed at E, with its containers; the softcs stay", "synctext")
    p.text(260, 312, f"A: if_carp and sc_carpdev switched ({old_parent} -> {new_parent}); one sync for both", "small")
    p.write(name)


def before_or_after(before, after):
    """The softc that the change is about."""
    return (set(before) ^ set(after)).pop()


def grace():
    p = Picture(980, 330, "A grace period: who may still hold the old list, and when it is freed")
    lanes = [("netisr0", 70), ("netisr 1", 160), ("netisr 2", 250)]
    for lane, y in lanes:
        p.text(20, y + 5, lane, "title")
        p.parts.append(f'<path class="lane" d="M100 {y} L960 {y}"/>')
    p.box(130, 46, 150, 48, "zero", ["copy"])
    p.box(290, 46, 60, 48, "zero", ["swap"])
    p.box(360, 46, 60, 48, "zero", ["gp+1"])
    p.box(430, 46, 60, 48, "zero", ["send"])
    p.box(760, 46, 80, 48, "zero", ["slots?"])
    p.box(850, 46, 80, 48, "zero", ["free"])
    for x, letter in [(320, "A"), (390, "B"), (460, "C"), (800, "D"), (890, "E")]:
        p.text(x, 38, letter, "letter", "middle")
    p.box(220, 136, 300, 48, "old", ["a frame, by the old list"])
    p.box(540, 136, 60, 48, "other", ["sync"])
    p.box(620, 136, 200, 48, "other", ["a frame, by the new list"])
    p.box(140, 226, 170, 48, "old", ["a frame, by the old"])
    p.box(340, 226, 180, 48, "other", ["a frame, by the new"])
    p.box(600, 226, 60, 48, "other", ["sync"])
    for x, y, letter in [(232, 130, "a"), (370, 130, "b"), (515, 130, "c"), (570, 130, "d"), (632, 130, "a"),
                         (150, 220, "a"), (352, 220, "a"), (630, 220, "d")]:
        p.text(x, y, letter, "letter", "middle")
    p.arrow([(460, 94), (545, 134)], "sync")
    p.arrow([(470, 94), (605, 224)], "sync")
    p.arrow([(600, 150), (770, 96)], "sync")
    p.arrow([(660, 238), (790, 96)], "sync")
    p.text(100, 310, "Red: by the old list, and the messages that end its use. netisr0 waits from C to D, and dispatches nothing else.", "small")
    p.write("design/grace.svg")


threads()
frame()
switch("design/insert.svg", "carp_if_insert: one softc more", ["carp1", "carp3"], ["carp1", "carp2", "carp3"], "none", "em0")
switch("design/remove.svg", "carp_if_remove: one softc less", ["carp1", "carp2", "carp3"], ["carp1", "carp3"], "em0", "none")
grace()
