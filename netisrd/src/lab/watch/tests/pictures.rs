//! What is seen.

use super::*;
use crate::lab::record::{Event, What};
use ratatui::style::Color;

#[test]
fn lanes_grow_to_the_right() {
    let scenario = scenario(PAIR);
    let mut fake = Fake::pressing(&[(1_000, Key::Quit)]);
    watched(&scenario, Options::default(), 10.0, &mut fake);
    assert_eq!(fake.at(900).text, "X");
}

#[test]
fn what_goes_wrong_on_a_lan_and_at_a_machine_is_told_as_long_as_it_lasts() {
    let text = include_str!("../../../../../labs/split-brain.toml").replace(
        "[[expect]]\nmachine = \"a\"\nstate = \"MASTER\"\nfrom = \"4s\"",
        "[[fault]]\nmachine = \"b\"\ninterface = \"em0\"\nfrom = \"12s\"\nuntil = \"14s\"\nlink_down = true\n\
         [[expect]]\nmachine = \"a\"\nstate = \"BACKUP\"\nby = \"5s\"",
    );
    let scenario = scenario(&text);
    let mut fake = Fake::new(120, 24, &[(2_000, Input::Key(Key::Quit))]);
    watched(&scenario, Options::default(), 10.0, &mut fake);
    assert_eq!(fake.at(1_300).text, "X");
    assert!(fake.at(1_500).text.contains("FAULTS net0: partition a | b,c\n"), "{}", fake.at(1_500).text);
    assert!(fake.at(1_900).text.contains("no faults"), "{}", fake.at(1_900).text);
}
