#!/usr/bin/env python3
"""Draws docs/threads.svg and docs/frame.svg. Run it from anywhere after a
change: python3 docs/draw.py"""

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


threads()
frame()
