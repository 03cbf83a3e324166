//! What happens in a random run.

use super::*;

impl Net {
    /// Something happens to somebody.
    pub(super) fn act(&mut self) -> Outcome {
        let k = self.below(self.boxes.len() as u32) as usize;
        let v = self.below(self.vhosts as u32) as usize;
        let id = self.boxes[k].id;
        let on = self.below(2) == 0;
        if !self.world.is_alive(id) {
            self.say(k, "boots");
            self.boxes[k] = self.power_on(k);
            return self.set_up(k);
        }
        if self.world.is_paused(id) {
            self.say(k, "goes on");
            self.world.resume(id);
            return self.idle();
        }
        if self.boxes[k].model.vhosts()[v].state() == State::Absent {
            return self.vhost_up(k, v);
        }
        let what = self.below(25);
        if what == 12 || (self.vhosts > 1 && matches!(what, 4 | 6..=11 | 21)) {
            // That an interface fails in the middle of its own or another's
            // change is beyond the model.
            self.say(k, "cannot send: false");
            self.lan.set_port_fault(self.boxes[k].port, None);
        }
        match what {
            0..=7 | 10 | 11 | 21 => self.act_on_vhost(k, v, what, on),
            8 | 9 | 12..=20 | 22 => self.act_on_machine(k, what, on),
            _ => self.act_on_weather(),
        }
    }

    fn act_on_vhost(&mut self, k: usize, v: usize, what: u32, on: bool) -> Outcome {
        let mut config = self.boxes[k].model.vhosts()[v].config().clone();
        match what {
            0 | 1 => {
                config.advskew = [0, 0, 50, 100, 200, 254][self.below(6) as usize];
                // What is too fast only takes long.
                config.advbase = config.advbase.max(u8::from(config.advskew == 0));
                self.setvh(k, v, config, None)
            }
            2 => {
                config.advbase = [0, 1, 1, 2, 4][self.below(5) as usize];
                if config.advbase == 0 {
                    config.advskew = 100;
                }
                self.setvh(k, v, config, None)
            }
            3 => {
                config.key = key(self.below(3) / 2);
                self.setvh(k, v, config, None)
            }
            4 => {
                config.vhid = vhid(v, self.below(3) / 2);
                self.setvh(k, v, config, None)
            }
            5 => self.setvh(k, v, config, Some(if on { State::Master } else { State::Backup })),
            6 | 7 => {
                let req = self.up(k, carp(v), on);
                self.command(k, v, req, Input::Up(on))
            }
            10 | 11 => {
                let which = self.below(6);
                self.vaddr(k, v, on, which)
            }
            _ => self.command(k, v, Request::ioctl(SIOCIFDESTROY, &IfReq::new(carp(v))), Input::Destroy),
        }
    }

    fn act_on_machine(&mut self, k: usize, what: u32, on: bool) -> Outcome {
        let (id, em) = (self.boxes[k].id, self.boxes[k].em);
        match what {
            8 => {
                let req = self.up(k, em, on);
                self.host_command(k, req, HostInput::ParentUp(0, on))
            }
            9 => {
                self.say(k, &format!("link {on}"));
                self.lan.set_port_link(self.boxes[k].port, on);
                self.world.link_state(
                    id,
                    self.boxes[k].index,
                    if on { LinkState::Up } else { LinkState::Down },
                );
                let now = self.local(k);
                self.boxes[k].model.host_input(now, HostInput::Link(0, on));
                self.idle()
            }
            12 => {
                let v6 = self.below(2) == 0;
                self.parent_addr(k, on, v6)
            }
            13 | 14 => self.sysctl(k, "net.inet.carp.preempt", on.into(), HostInput::Preempt(on)),
            15 => {
                let by = [-500, -10, 10, 100, 240, 500][self.below(6) as usize];
                self.sysctl(k, "net.inet.carp.demotion", by, HostInput::Demote(by))
            }
            16 => {
                let mut ifgr = IfGroupReq::new(name("carp"));
                let by = if on { 1 } else { -1 };
                ifgr.set_carp_demoted(by);
                self.host_command(k, Request::ioctl(SIOCSIFGATTR, &ifgr), HostInput::GroupDemote(by))
            }
            17 | 18 => {
                self.say(k, &format!("cannot send: {on}"));
                self.lan.set_port_fault(self.boxes[k].port, on.then_some(Errno::ENOBUFS));
                Ok(())
            }
            19 => {
                self.say(k, "pauses");
                self.world.pause(id);
                Ok(())
            }
            20 => {
                self.say(k, if on { "halts" } else { "crashes" });
                if on {
                    let now = self.local(k);
                    self.boxes[k].model.host_input(now, HostInput::Halt);
                    self.world.halt(id);
                    self.observe()?;
                    return self.idle();
                }
                self.world.crash(id);
                self.boxes[k].model = Host::new(1);
                Ok(())
            }
            _ => {
                let rate = [EXACT / 2, EXACT, EXACT, EXACT * 2][self.below(4) as usize];
                let jump = Duration::from_millis(self.below(500).into());
                self.say(k, &format!("goes at {rate} and jumps by {jump:?}"));
                self.boxes[k].rate = rate;
                self.world.set_clock(id, rate, jump);
                self.idle()
            }
        }
    }

    fn act_on_weather(&mut self) -> Outcome {
        let mut w = Weather::default();
        match self.below(6) {
            0 => w.loss = self.below(60),
            1 => w.delay = 1 + self.below(2000),
            2 => w.echo = self.below(100),
            3 => w.garble = self.below(60),
            4 => w.deaf_to = Some([0x08, 0x86][self.below(2) as usize]),
            _ => {}
        }
        self.say(0, &format!("{w:?}"));
        *self.weather.lock().unwrap() = w;
        Ok(())
    }
}
