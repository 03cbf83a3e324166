//! The pictures and the numbers of a fixed story.

use super::journal::Journal;
use super::story::{Advert, Answer, Change, Outage, Ping, State, Story, Who, master_down_interval};
use super::{Record, lanfile, svg, tell, text};
use crate::lab::{Frame, Probe, virtual_mac};
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::{Block, PcapNgReader};
use std::time::{Duration, Instant};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// 11 s: a is MASTER from 3 s, dies at 4.6 s, is back at 9 s and MASTER at
/// 10 s. A ping each 100 ms from 3.1 s on.
fn story() -> Story {
    let change = |at, who, to, why: &str| Change { at: ms(at), who, to, why: why.to_owned() };
    let changes = vec![
        change(10, Who::A, State::Init, "started"),
        change(30, Who::B, State::Init, "started"),
        change(100, Who::A, State::Backup, ""),
        change(300, Who::B, State::Backup, ""),
        change(3000, Who::A, State::Master, "master timed out"),
        change(4600, Who::A, State::Off, "killed"),
        change(7391, Who::B, State::Master, "master timed out"),
        change(9000, Who::A, State::Init, "started"),
        change(9200, Who::A, State::Backup, ""),
        change(10_000, Who::A, State::Master, "preempting a slower master"),
        change(10_001, Who::B, State::Backup, "more frequent advertisement received"),
    ];
    let advert = |(at, who)| Advert { at: ms(at), who };
    let adverts =
        [(3000, Who::A), (4000, Who::A), (7391, Who::B), (8781, Who::B), (10_000, Who::A)].map(advert);
    let mut pings = Vec::new();
    let mut answers = Vec::new();
    for sent in (3100..11_000).step_by(100) {
        let alive = !(4600..7391).contains(&sent);
        let who = if (4600..10_000).contains(&sent) { Who::B } else { Who::A };
        pings.push(Ping { sent: ms(sent), answered: alive.then(|| ms(sent + 1)) });
        answers.extend(alive.then(|| Answer { at: ms(sent + 1), who, mac: virtual_mac(1) }));
    }
    Story { changes, adverts: adverts.to_vec(), pings, answers, end: ms(11_000) }
}

#[test]
fn the_text_has_a_lane_for_each_and_72_columns() {
    let text = text::timeline(&story());
    assert_eq!(text, TEXT);
    assert!(text.lines().all(|l| l.len() <= 72));
}

#[test]
fn the_summary_tells_each_transition_and_the_numbers() {
    assert_eq!(text::summary(&story()), SUMMARY);
}

#[test]
fn a_story_in_which_nothing_happened_can_be_told() {
    let story = Story { end: ms(1000), ..Story::default() };
    assert!(text::timeline(&story).starts_with("a       .........."));
    assert!(text::summary(&story).contains("0 sent, 0 lost"));
    assert!(svg::timeline(&story).ends_with("</svg>\n"));
    assert!(svg::timeline(&Story::default()).ends_with("</svg>\n"));
    assert_eq!(text::timeline(&Story::default()).lines().count(), 5);
}

#[test]
fn the_picture_is_this_one() {
    let svg = svg::timeline(&story());
    let (head, body) = svg.split_once("</style>\n").unwrap();
    assert!(head.starts_with("<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 860 318'"));
    assert_eq!(body, SVG);
}

#[test]
fn a_gap_is_from_the_last_answer_to_the_next() {
    let story = story();
    assert_eq!(story.outages(), [Outage { from: ms(4501), to: ms(7401), lost: 28 }]);
    assert_eq!(story.gap().map(|g| g.length()), Some(ms(2900)));
    assert_eq!((story.pings.len(), story.lost()), (79, 28));
}

#[test]
fn every_time_without_answers_is_an_outage_and_the_longest_is_the_gap() {
    let ping = |(sent, answered): (u64, Option<u64>)| Ping { sent: ms(sent), answered: answered.map(ms) };
    let pings = [(0, None), (10, Some(11)), (20, None), (30, None), (40, Some(41)), (50, None)].map(ping);
    let story = Story { pings: pings.to_vec(), end: ms(60), ..Story::default() };
    let outage = |from, to, lost| Outage { from: ms(from), to: ms(to), lost };
    assert_eq!(story.outages(), [outage(0, 11, 1), outage(11, 41, 2), outage(41, 60, 1)]);
    assert_eq!(story.gap(), Some(outage(11, 41, 2)));
    assert_eq!(Story::default().gap(), None);
}

#[test]
fn a_takeover_is_from_the_dead_ones_last_advertisement_to_the_others_first() {
    let mut story = story();
    assert_eq!(story.takeover(), Some(ms(3391)));
    // b was MASTER already: it took nothing over
    story.changes.retain(|c| (c.who, c.to) != (Who::B, State::Backup));
    assert_eq!(story.takeover(), None);
}

#[test]
fn the_formula_is_three_advbases_and_the_skew() {
    let micros = |b, s| master_down_interval(b, s).as_micros();
    assert_eq!([micros(1, 0), micros(1, 100), micros(2, 128)], [3_000_000, 3_390_625, 6_500_000]);
}

#[test]
fn the_verdict_wants_all_that_the_demo_is_to_show() {
    let without = |change: &dyn Fn(&mut Story)| {
        let mut story = story();
        change(&mut story);
        story.verdict().err().unwrap_or_default()
    };
    assert_eq!(without(&|_| ()), "");
    let is = |c: &Change, at, who| (c.at, c.who) == (ms(at), who);
    let forget = |at, who| without(&move |s| s.changes.retain(|c| !is(c, at, who)));
    assert_eq!(forget(4600, Who::A), "a was never killed");
    assert_eq!(forget(9000, Who::A), "a did not come back");
    assert_eq!(forget(3000, Who::A), "a did not become MASTER before it was killed");
    assert_eq!(forget(7391, Who::B), "b did not become MASTER after a was killed");
    assert_eq!(forget(10_000, Who::A), "a did not become MASTER after it came back");
    assert_eq!(forget(10_001, Who::B), "at the end a is MASTER and b is MASTER");
    let silent = without(&|s| s.answers.retain(|a| a.who == Who::A));
    assert_eq!(silent, "b did not answer for 10.0.0.1 after a was killed");
    let silent = without(&|s| s.answers.retain(|a| a.who == Who::B || a.at < ms(9000)));
    assert_eq!(silent, "a did not answer for 10.0.0.1 after it came back");
    let real = without(&|s| s.answers[3].mac = [2, 0, 0, 0, 0, 1]);
    assert_eq!(real, "a answered from 02:00:00:00:00:01");
    let early = without(&|s| s.adverts[2].at = ms(5000));
    assert_eq!(early, "b took over 1s after a's last advertisement, before 3s");
}

#[test]
fn what_was_sent_just_now_is_not_lost() {
    let journal = Journal::default();
    let at = |n| journal.start() + ms(n);
    let probe = |seq, answered| Probe { seq, sent: at(u64::from(seq) * 10), answered };
    let probes = vec![probe(0, None), probe(1, Some(at(11))), probe(2, None), probe(3, None)];
    let record = Record { probes, ..Record::default() };
    assert_eq!(tell(&journal, &record, at(35)).pings.len(), 2);
    // long ago it was
    assert_eq!(tell(&journal, &record, at(500)).lost(), 3);
}

#[test]
fn a_frame_bears_the_comment_of_its_transition() {
    let start = Instant::now();
    let frame = |n: u64| Frame { at: start + ms(n), stamp: ms(n), bytes: vec![0; 60] };
    let frames = [frame(0), frame(4590), frame(4620), frame(8000)];
    let mut story = story();
    story.changes.retain(|c| c.to == State::Off);
    let comments = lanfile::comments(&story, &frames, start);
    assert_eq!(comments, [(1, "a: off (killed) at 4.600 s".to_owned())]);

    let file = lanfile::encode(&frames, &comments).unwrap();
    let mut reader = PcapNgReader::new(&file[..]).unwrap();
    let mut seen = Vec::new();
    while let Some(block) = reader.next_block() {
        if let Block::EnhancedPacket(p) = block.unwrap().into_owned() {
            seen.push((p.timestamp, p.data.len(), p.options));
        }
    }
    let comment = EnhancedPacketOption::Comment("a: off (killed) at 4.600 s".into());
    let expected = [0, 4590, 4620, 8000].map(|n| (ms(n), 60, Vec::new()));
    let mut expected = expected.to_vec();
    expected[1].2.push(comment);
    assert_eq!(seen, expected);
}

const TEXT: &str = "\
a       ibbbbbbbbbbbbbbbbMMMMMMMMMM.........................iibbbbMMMMMM
b       iibbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbMMMMMMMMMMMMMMMbbbbbb
pings                     --------xxxxxxxxxxxxxxxxx---------------------
seconds 0     1     2    3     4     5     6     7     8    9     10
        M MASTER  b BACKUP  i INIT  . not running   - answered  x lost
";

const SUMMARY: &str = "    0.010 s  a  off    -> INIT  (started)
    0.030 s  b  off    -> INIT  (started)
    0.100 s  a  INIT   -> BACKUP
    0.300 s  b  INIT   -> BACKUP
    3.000 s  a  BACKUP -> MASTER  (master timed out)
    4.600 s  a  MASTER -> off  (killed)
    7.391 s  b  BACKUP -> MASTER  (master timed out)
    9.000 s  a  off    -> INIT  (started)
    9.200 s  a  INIT   -> BACKUP
   10.000 s  a  BACKUP -> MASTER  (preempting a slower master)
   10.001 s  b  MASTER -> BACKUP  (more frequent advertisement received)

pings     79 sent, 28 lost
answers   25 by a, 26 by b, all from 00:00:5e:00:01:01
gap       2900.0 ms without an answer, from 4.501 s to 7.401 s
takeover  3391.0 ms from a's last advertisement to b's first
formula   3390.6 ms = 3 * advbase + advskew / 256 = 3 * 1 s + 100 / 256 s
";

const SVG: &str = "\
<rect x='0.5' y='0.5' width='859' height='317' rx='8' class='card'/>
<text x='16.0' y='28' class='title'>Two machines share 10.0.0.1: one dies, the other answers</text>
<text x='16.0' y='48' class='dim'>b takes over 3391.0 ms after a's last advertisement; 3390.6 ms = 3 * advbase + advskew / 256 = 3 * 1 s + 100 / 256 s</text>
<text x='16.0' y='99' class='title'>a</text>
<text x='16.0' y='114' class='dim'>10.0.0.2</text>
<rect x='84.0' y='84' width='0.7' height='34' class='off'/>
<rect x='84.7' y='84' width='6.2' height='34' class='INIT'/>
<rect x='90.8' y='84' width='198.3' height='34' class='BACKUP'/>
<text x='98.8' y='106' class='in-BACKUP'>BACKUP</text>
<rect x='289.1' y='84' width='109.4' height='34' class='MASTER'/>
<text x='297.1' y='106' class='in-MASTER'>MASTER</text>
<rect x='398.5' y='84' width='300.8' height='34' class='off'/>
<text x='406.5' y='106' class='in-off'>not running</text>
<rect x='699.3' y='84' width='13.7' height='34' class='INIT'/>
<rect x='712.9' y='84' width='54.7' height='34' class='BACKUP'/>
<rect x='767.6' y='84' width='68.4' height='34' class='MASTER'/>
<text x='775.6' y='106' class='in-MASTER'>MASTER</text>
<path d='M289.1 120v8' class='ad'/>
<path d='M357.5 120v8' class='ad'/>
<path d='M767.6 120v8' class='ad'/>
<text x='16.0' y='157' class='title'>b</text>
<text x='16.0' y='172' class='dim'>10.0.0.3</text>
<rect x='84.0' y='142' width='2.1' height='34' class='off'/>
<rect x='86.1' y='142' width='18.5' height='34' class='INIT'/>
<rect x='104.5' y='142' width='484.8' height='34' class='BACKUP'/>
<text x='112.5' y='164' class='in-BACKUP'>BACKUP</text>
<rect x='589.3' y='142' width='178.4' height='34' class='MASTER'/>
<text x='597.3' y='164' class='in-MASTER'>MASTER</text>
<rect x='767.7' y='142' width='68.3' height='34' class='BACKUP'/>
<text x='775.7' y='164' class='in-BACKUP'>BACKUP</text>
<path d='M589.3 178v8' class='ad'/>
<path d='M684.3 178v8' class='ad'/>
<text x='16.0' y='214' class=''>pings</text>
<text x='16.0' y='229' class='dim'>10.0.0.9</text>
<rect x='295.9' y='206' width='102.5' height='10' class='answered'/>
<rect x='398.5' y='206' width='191.4' height='22' class='lost'/>
<rect x='589.9' y='206' width='246.1' height='10' class='answered'/>
<text x='395.7' y='200' class='bad'>28 lost in 2900.0 ms</text>
<path d='M84.0 236H836.0' class='axis'/>
<path d='M84.0 236v6' class='axis'/>
<text x='80.0' y='256' class='dim'>0 s</text>
<path d='M152.4 236v6' class='axis'/>
<text x='148.4' y='256' class='dim'>1</text>
<path d='M220.7 236v6' class='axis'/>
<text x='216.7' y='256' class='dim'>2</text>
<path d='M289.1 236v6' class='axis'/>
<text x='285.1' y='256' class='dim'>3</text>
<path d='M357.5 236v6' class='axis'/>
<text x='353.5' y='256' class='dim'>4</text>
<path d='M425.8 236v6' class='axis'/>
<text x='421.8' y='256' class='dim'>5</text>
<path d='M494.2 236v6' class='axis'/>
<text x='490.2' y='256' class='dim'>6</text>
<path d='M562.5 236v6' class='axis'/>
<text x='558.5' y='256' class='dim'>7</text>
<path d='M630.9 236v6' class='axis'/>
<text x='626.9' y='256' class='dim'>8</text>
<path d='M699.3 236v6' class='axis'/>
<text x='695.3' y='256' class='dim'>9</text>
<path d='M767.6 236v6' class='axis'/>
<text x='763.6' y='256' class='dim'>10</text>
<path d='M836.0 236v6' class='axis'/>
<text x='832.0' y='256' class='dim'>11</text>
<path d='M398.5 70v166' class='mark'/>
<text x='402.5' y='76' class='bad'>a is killed</text>
<path d='M699.3 70v166' class='mark'/>
<text x='703.3' y='76' class='bad'>a is back</text>
<rect x='84.0' y='286' width='14.0' height='14' class='MASTER'/>
<text x='104.0' y='298' class='dim'>MASTER</text>
<rect x='165.0' y='286' width='14.0' height='14' class='BACKUP'/>
<text x='185.0' y='298' class='dim'>BACKUP</text>
<rect x='246.0' y='286' width='14.0' height='14' class='INIT'/>
<text x='266.0' y='298' class='dim'>INIT</text>
<rect x='312.0' y='286' width='14.0' height='14' class='off'/>
<text x='332.0' y='298' class='dim'>not running</text>
<rect x='430.5' y='286' width='14.0' height='14' class='answered'/>
<text x='450.5' y='298' class='dim'>ping answered</text>
<rect x='564.0' y='286' width='14.0' height='14' class='lost'/>
<text x='584.0' y='298' class='dim'>ping lost</text>
<path d='M673.5 289v8' class='ad'/>
<text x='681.5' y='298' class='dim'>advertisement</text>
</svg>
";
