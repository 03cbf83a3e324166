//! What keys and clocks do.

use super::*;
use crate::lab::journal::Keep;
use crate::lab::watch::show::Shown;
use crate::lab::watch::speed;
use crate::lab::watch::terminal::input;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use signal_hook::consts::SIGINT;

const SECOND: u64 = 1_000_000_000;

#[test]
fn a_run_that_is_watched_is_the_run_that_nobody_sees() {
    let keep = Keep::Frames;
    let scripts: [&[(u64, Key)]; 3] = [
        &[(60_000, Key::Quit)],
        &[(700, Key::Quit)],
        &[(300, Key::Pause), (900, Key::Step), (1_000, Key::Step), (1_100, Key::Faster), (1_500, Key::Quit)],
    ];
    for file in ["pair", "flapping-link", "unicast"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../labs/{file}.toml"));
        let scenario = Scenario::read(&path).unwrap();
        for (script, speed) in scripts.into_iter().zip([0.37, 13.0, 1000.0]) {
            let options = Options { seed: Some(7), netisrs: 2, keep, ..Options::default() };
            let unseen = run::run(&scenario, options);
            let seen = outcome(watched(&scenario, options, speed, &mut Fake::pressing(script)), &scenario);
            assert_eq!(to_jsonl(&seen.events).unwrap(), to_jsonl(&unseen.events).unwrap(), "{file} {speed}");
            let bytes =
                |o: &Outcome| o.frames.iter().map(|f| (f.at, f.lan, f.data.clone())).collect::<Vec<_>>();
            assert!(bytes(&seen) == bytes(&unseen) && !unseen.frames.is_empty(), "{file} {speed}");
            assert_eq!(seen.passed, unseen.passed);
        }
    }
}

#[test]
fn a_verdict_that_is_known_early_is_the_last_one() {
    // In some of them something is expected that does not happen.
    let wrong = [("state = \"MASTER\"", "state = \"INIT\""), ("below = 400", "below = 200")];
    // How many are known before the end, if all is right and if not.
    let labs = [("pair", [3, 4]), ("split-brain", [3, 4]), ("paused", [3, 3]), ("flapping-link", [9, 10])];
    for (file, early) in labs {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../labs/{file}.toml"));
        let right = std::fs::read_to_string(path).unwrap();
        let wrong = wrong.iter().fold(right.clone(), |text, (from, to)| text.replace(from, to));
        for (text, early) in [right, wrong].iter().zip(early) {
            let scenario = scenario(text);
            let mut fake = Fake::pressing(&[(20_000, Key::Quit)]);
            watched(&scenario, Options::default(), 2.5, &mut fake);
            let last = fake.frames.last().unwrap();
            assert!(last.holds.iter().all(Option::is_some), "{file}");
            for frame in &fake.frames {
                let same = |(then, last): (&Option<bool>, _)| then.is_none() || then == last;
                assert!(
                    frame.holds.iter().zip(&last.holds).all(same),
                    "{file} at {}: {}",
                    frame.now,
                    frame.text
                );
            }
            let before = fake.frames.iter().rfind(|f| f.mode == Mode::Running).unwrap();
            assert_eq!(before.holds.iter().flatten().count(), early, "{file}: {:?}", before.holds);
        }
    }
}

#[test]
fn time_passes_as_fast_as_somebody_wants() {
    let scenario = scenario(PAIR);
    for (speed, per_frame) in [(1.0, 40_000_000), (10.0, 400_000_000), (0.1, 4_000_000)] {
        let mut fake = Fake::pressing(&[(1_000, Key::Quit)]);
        watched(&scenario, Options::default(), speed, &mut fake);
        for (n, frame) in fake.frames.iter().enumerate() {
            assert_eq!((frame.at, frame.now), (FRAME * n as u32, n as u64 * per_frame), "{speed}");
        }
        assert_eq!(fake.frames.len(), 25);
    }
}

#[test]
fn a_pause_is_a_pause_and_what_passes_in_it_is_not_caught_up() {
    let scenario = scenario(PAIR);
    let script = [(400, Key::Pause), (9_030, Key::Pause), (9_430, Key::Faster), (9_830, Key::Quit)];
    let mut fake = Fake::pressing(&script);
    watched(&scenario, Options::default(), 1.0, &mut fake);
    let seen = [399, 401, 9_029, 9_430, 9_829].map(|at| (fake.at(at).now, fake.at(at).mode));
    let (running, paused) = (Mode::Running, Mode::Paused);
    let want = [(360, running), (400, paused), (400, paused), (800, running), (1520, running)];
    assert_eq!(seen, want.map(|(now, mode)| (now * 1_000_000, mode)));
    assert!(fake.at(401).text.contains("PAUSED") && !fake.at(399).text.contains("PAUSED"));
    assert!(fake.at(9_829).text.contains("speed 2 "), "{}", fake.at(9_829).text);
}

#[test]
fn a_step_goes_to_the_next_event_and_stays_there() {
    let scenario = scenario(PAIR);
    let mut script = vec![(0, Key::Pause), (50, Key::Step)];
    script.extend((1..9).map(|n| (50 + n * 500, Key::Step)));
    script.push((9_000, Key::Quit));
    let mut fake = Fake::pressing(&script);
    watched(&scenario, Options::default(), 1.0, &mut fake);
    assert_eq!(fake.at(49).now, 0);
    // a becomes MASTER, crashes; c's pings are lost, b becomes MASTER, those
    // that had been sent before are lost, a boots.
    let moments: Vec<u64> = (0..6).map(|n| fake.at(549 + n * 500).now / 1_000_000).collect();
    assert_eq!(moments, [3000, 5500, 6500, 8390, 8400, 15_000]);
    assert!((1..7).all(|n| fake.at(49 + n * 500).mode == Mode::Paused));
    assert_eq!(fake.at(3_549).mode, Mode::Over(true), "nothing is left to happen");
    let text = &fake.at(1_049).text;
    assert!(text.contains("5.5 s  a crashes") && text.contains("  5.5 s of 20 s"), "{text}");
}

#[test]
fn a_machine_that_is_too_slow_is_shown_as_fast_as_it_is() {
    let scenario = scenario(PAIR);
    let mut fake = Fake::pressing(&[(2_000, Key::Quit)]);
    fake.look = ms(5);
    watched(&scenario, Options::default(), 1e6, &mut fake);
    let moments: Vec<u64> = fake.frames.iter().map(|f| f.now).collect();
    assert!(moments.is_sorted() && moments.last() > Some(&0), "{moments:?}");
    assert!(moments.iter().all(|now| *now < 20 * SECOND), "{moments:?}");
    // Nothing is owed: it goes on at the old speed when it can.
    assert!(fake.frames.iter().all(|f| f.mode == Mode::Running));
}

#[test]
fn at_the_end_the_verdicts_stand_until_somebody_leaves() {
    let scenario = scenario(PAIR);
    let mut fake = Fake::pressing(&[(5_000, Key::Pause), (5_100, Key::Step), (6_000, Key::Quit)]);
    let end = watched(&scenario, Options::default(), 100.0, &mut fake);
    assert!(outcome(end, &scenario).passed);
    let last = fake.at(6_000);
    assert_eq!((last.now, last.mode), (20 * SECOND, Mode::Over(true)));
    assert!(last.text.contains("PASSED") && last.text.contains("5 ok, 0 not, 0 open"), "{}", last.text);
}

#[test]
fn a_signal_ends_it_at_once() {
    let scenario = scenario(PAIR);
    let mut fake = Fake::new(80, 24, &[(500, Input::Resized), (1_000, Input::Signal(15))]);
    let end = watched(&scenario, Options::default(), 1.0, &mut fake);
    assert!(matches!(end, End::Signal(15)));
    assert_eq!(fake.frames.last().map(|f| f.now), Some(980_000_000));
}

#[test]
fn the_window_follows_and_can_be_moved_while_time_stands_still() {
    let mut long = scenario(PAIR);
    long.time.0 = Duration::from_secs(600);
    let mut show = Show::new(&long, 1.0);
    let half = SECOND / 2;
    assert_eq!(show.shown(60), Shown { from: 0, column: half, columns: 60 });
    show.now = 100 * SECOND;
    let follows = Shown { from: (201 + 7 - 60) * half, column: half, columns: 60 };
    assert_eq!(show.shown(60), follows);
    let press = |show: &mut Show<'_>, key| show.press(key, 60, 5, 12);
    press(&mut show, Key::Left);
    assert_eq!(show.shown(60), follows, "while time passes it follows");
    show.mode = Mode::Paused;
    press(&mut show, Key::Left);
    assert_eq!(show.shown(60).from, follows.from - 8 * half);
    (0..99).for_each(|_| press(&mut show, Key::Left));
    assert_eq!(show.shown(60).from, 0);
    (0..999).for_each(|_| press(&mut show, Key::Right));
    assert_eq!(show.shown(60).from, 570 * SECOND);
    press(&mut show, Key::Nearer);
    assert_eq!(show.shown(60), Shown { from: 579 * SECOND, column: SECOND / 5, columns: 60 });
    (0..99).for_each(|_| press(&mut show, Key::Wider));
    assert_eq!(show.shown(60), Shown { from: 0, column: 10 * SECOND, columns: 60 });
    (0..99).for_each(|_| press(&mut show, Key::Nearer));
    assert_eq!(show.shown(60).column, 1);
    press(&mut show, Key::Pause);
    assert_eq!((show.mode, show.shown(60).from + 60 > show.now), (Mode::Running, true));
    (0..99).for_each(|_| press(&mut show, Key::Down));
    assert_eq!(show.window.top, 7);
    press(&mut show, Key::Up);
    assert_eq!(show.window.top, 6);
}

#[test]
fn speeds_are_one_two_five_and_have_ends() {
    let scenario = scenario(PAIR);
    let mut show = Show::new(&scenario, 1.0);
    let mut speeds = |key, n: usize| {
        let mut all = Vec::new();
        for _ in 0..n {
            show.press(key, 60, 5, 12);
            all.push(show.speed);
        }
        all
    };
    assert_eq!(speeds(Key::Faster, 4), [2.0, 5.0, 10.0, 20.0]);
    assert_eq!(speeds(Key::Slower, 6), [10.0, 5.0, 2.0, 1.0, 0.5, 0.2]);
    assert_eq!(speeds(Key::Slower, 20).last(), Some(&0.001));
    assert_eq!(speeds(Key::Faster, 50).last(), Some(&1e6));
    show.speed = 3.7;
    show.press(Key::Slower, 60, 5, 12);
    assert!((show.speed - 2.0).abs() < 1e-9);
}

#[test]
fn a_speed_is_a_sensible_number() {
    assert_eq!([speed("10"), speed("0.1")], [Ok(10.0), Ok(0.1)]);
    for wrong in ["0", "-1", "NaN", "inf", "1e7", "fast", ""] {
        assert_eq!(speed(wrong), Err("expected a number from 0.001 to 1000000".into()), "{wrong}");
    }
}

#[test]
fn keys_have_their_meaning_and_others_have_none() {
    let press = |code, modifiers| input(&Event::Key(KeyEvent::new(code, modifiers)));
    let plain = |code| press(code, KeyModifiers::NONE);
    let all = [
        (KeyCode::Char('q'), Key::Quit),
        (KeyCode::Char(' '), Key::Pause),
        (KeyCode::Char('+'), Key::Faster),
        (KeyCode::Char('='), Key::Faster),
        (KeyCode::Char('-'), Key::Slower),
        (KeyCode::Char('n'), Key::Step),
        (KeyCode::Char('z'), Key::Nearer),
        (KeyCode::Char('?'), Key::Help),
        (KeyCode::Left, Key::Left),
        (KeyCode::Right, Key::Right),
        (KeyCode::Up, Key::Up),
        (KeyCode::Down, Key::Down),
    ];
    all.into_iter().for_each(|(code, key)| assert_eq!(plain(code), Some(Input::Key(key))));
    assert_eq!(press(KeyCode::Char('Z'), KeyModifiers::SHIFT), Some(Input::Key(Key::Wider)));
    assert_eq!(press(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Input::Signal(SIGINT)));
    assert_eq!(press(KeyCode::Char('q'), KeyModifiers::CONTROL), None);
    assert_eq!(plain(KeyCode::Char('y')), None);
    assert_eq!(input(&Event::Resize(3, 4)), Some(Input::Resized));
    let released = KeyEvent::new_with_kind(KeyCode::Char('q'), KeyModifiers::NONE, KeyEventKind::Release);
    assert_eq!(input(&Event::Key(released)), None);
}
