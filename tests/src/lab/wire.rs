//! A recorder on an interface, and a way to put frames on it.

use super::events::wait_readable;
use super::frame::Frame;
use super::proc::Watched;
use super::verify::faults;
use super::{Lab, PATIENCE, target_dir, within};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use pcap::{Active, Capture, Direction};
use pcap_file::pcap::{PcapPacket, PcapWriter};
use std::fs::{self, File};
use std::io::{PipeReader, PipeWriter, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Bytes of a frame that are recorded: more than any link here carries.
const LONGEST: i32 = 2048;

/// Records every frame on an interface from [`Wire::open`] on. If the test
/// fails, the frames are left in `target/lab/`. If it does not, `tshark` reads
/// them when the recorder is dropped, and what it finds fault with fails the
/// test after all.
pub struct Wire {
    name: String,
    dir: PathBuf,
    /// Whether it is no fault of ours if frames are wrong.
    lenient: AtomicBool,
    tape: Arc<Tape>,
    injector: Mutex<Capture<Active>>,
    /// Closing it stops the recorder.
    stop: Option<PipeWriter>,
    recorder: Option<JoinHandle<()>>,
}

impl Wire {
    /// Records `dev` in a namespace; with `only_in` not what its own host
    /// sends there.
    pub fn open(lab: &Lab, ns: Option<&str>, dev: &str, only_in: bool) -> Wire {
        let open = || {
            let c = Capture::from_device(dev).unwrap().immediate_mode(true).promisc(true);
            // Ring slots are as long as the longest frame, and all of a burst
            // must find one before the recorder gets its turn.
            let c = c.snaplen(LONGEST).buffer_size(16 << 20).open();
            c.unwrap_or_else(|e| panic!("capture on {dev}: {e}")).setnonblock().unwrap()
        };
        let (capture, injector) = within(ns, || (open(), open()));
        if only_in {
            capture.direction(Direction::In).unwrap();
        }
        let arrivals = capture.as_fd().try_clone_to_owned().unwrap();
        let tape = Arc::new(Tape::of(capture));
        let (reader, writer) = pipe().unwrap();
        let recorded = Arc::clone(&tape);
        let record = move || record(&arrivals, &reader, &recorded);
        let recorder = thread::Builder::new().name("wire".into()).spawn(record).unwrap();
        let test = lab.name().replace("::", "-");
        let name = format!("{test}-{}{dev}{}", ns.unwrap_or(""), if only_in { "-in" } else { "" });
        Wire {
            name,
            dir: lab.dir().to_owned(),
            lenient: AtomicBool::new(false),
            tape,
            injector: Mutex::new(injector),
            stop: Some(writer),
            recorder: Some(recorder),
        }
    }

    /// How many frames have passed: a mark from which to look or wait.
    pub fn mark(&self) -> usize {
        self.tape.so_far().len()
    }

    /// All frames that have passed.
    pub fn frames(&self) -> Vec<Frame> {
        self.tape.so_far().clone()
    }

    /// Those from a mark on.
    pub fn since(&self, mark: usize) -> Vec<Frame> {
        self.tape.so_far()[mark..].to_vec()
    }

    /// Waits for the first frame from `mark` on that `pred` accepts; its
    /// index.
    ///
    /// # Panics
    /// After `within`.
    pub fn wait_for(
        &self,
        mark: usize,
        what: &str,
        within: Duration,
        mut pred: impl FnMut(&Frame) -> bool,
    ) -> usize {
        let mut seen = mark;
        let found = self.tape.frames.wait(within, |frames| {
            while let Some(frame) = frames.get(seen) {
                seen += 1;
                if pred(frame) {
                    return Some(seen - 1);
                }
            }
            None
        });
        found.unwrap_or_else(|| {
            let frames = self.since(mark);
            let last = &frames[frames.len().saturating_sub(30)..];
            let (name, count, lost) = (&self.name, frames.len(), self.tape.lost.load(Ordering::Relaxed));
            panic!("no {what} within {within:?} on {name}, but {count} frames, {lost} lost: {last:#?}")
        })
    }

    /// As [`Wire::wait_for`], with [`super::PATIENCE`]; the frame itself.
    pub fn next(&self, mark: usize, what: &str, pred: impl FnMut(&Frame) -> bool) -> Frame {
        let i = self.wait_for(mark, what, PATIENCE, pred);
        self.tape.frames.lock()[i].clone()
    }

    /// Waits for `count` frames from `mark` on that `pred` accepts.
    pub fn wait_count(&self, mark: usize, count: usize, what: &str, pred: impl Fn(&Frame) -> bool) {
        let mut seen = 0;
        self.wait_for(mark, &format!("{count} {what}"), PATIENCE, |f| {
            seen += usize::from(pred(f));
            seen == count
        });
    }

    /// Sends a frame out of the interface: to the program behind a tap, the
    /// host behind a veth, all ports of a bridge. The recorder sees it too.
    pub fn inject(&self, frame: &[u8]) {
        let mut injector = self.injector.lock().unwrap_or_else(|p| p.into_inner());
        let until = Instant::now() + PATIENCE;
        while let Err(e) = injector.sendpacket(frame) {
            let busy = e.to_string().contains("buffer space") || e.to_string().contains("temporarily");
            assert!(busy && Instant::now() < until, "{} bytes on {}: {e}", frame.len(), self.name);
            let _ = poll(&mut [PollFd::new(injector.as_fd(), PollFlags::POLLOUT)], PollTimeout::from(10u8));
        }
    }

    /// The test itself puts frames on this wire that are wrong, or the frames
    /// are nobody's concern: no fault that a decoder finds fails the test.
    pub fn may_have_bad_frames(&self, why: &str) {
        println!("{} is not read by tshark: {why}", self.name);
        self.lenient.store(true, Ordering::Relaxed);
    }

    /// Writes all frames so far as an Ethernet pcap.
    pub fn write_pcap(&self, path: &Path) {
        write_pcap(path, &self.frames());
    }
}

/// Writes frames as an Ethernet pcap.
pub fn write_pcap(path: &Path, frames: &[Frame]) {
    let mut writer = PcapWriter::new(File::create(path).unwrap()).unwrap();
    for f in frames {
        let packet = PcapPacket::new(f.stamp, f.bytes.len() as u32, &f.bytes);
        writer.write_packet(&packet).unwrap();
    }
}

/// What has passed. The kernel has a frame as soon as it passes, but the recorder may not
/// have had its turn since: whoever asks what there is reads first.
struct Tape {
    capture: Mutex<Capture<Active>>,
    frames: Watched<Vec<Frame>>,
    /// Frames that found no room before anybody read them.
    lost: AtomicU32,
}

impl Tape {
    fn of(capture: Capture<Active>) -> Tape {
        Tape { capture: Mutex::new(capture), frames: Watched::default(), lost: AtomicU32::new(0) }
    }

    /// The frames that have passed by now.
    fn so_far(&self) -> MutexGuard<'_, Vec<Frame>> {
        // What is wrong with the interface is the recorder's.
        let _ = self.read();
        self.frames.lock()
    }

    /// Takes what the kernel has.
    fn read(&self) -> Result<(), pcap::Error> {
        let mut capture = self.capture.lock().unwrap_or_else(|p| p.into_inner());
        let ended = loop {
            match capture.next_packet() {
                Ok(p) => {
                    let (sec, usec) = (p.header.ts.tv_sec as u64, p.header.ts.tv_usec as u32);
                    let stamp = Duration::new(sec, usec * 1000);
                    let frame = Frame { at: Instant::now(), stamp, bytes: p.data.to_vec() };
                    self.frames.change(|frames| frames.push(frame));
                }
                Err(pcap::Error::TimeoutExpired) => break Ok(()),
                Err(e) => break Err(e),
            }
        };
        if let Ok(stat) = capture.stats() {
            self.lost.store(stat.dropped, Ordering::Relaxed);
        }
        ended
    }
}

fn record(arrivals: &OwnedFd, stop: &PipeReader, tape: &Tape) {
    loop {
        let mut fds =
            [PollFd::new(arrivals.as_fd(), PollFlags::POLLIN), PollFd::new(stop.as_fd(), PollFlags::POLLIN)];
        let polled = poll(&mut fds, PollTimeout::NONE);
        let stopped = polled.is_ok() && fds[1].revents().is_some_and(|r| !r.is_empty());
        // the interface is gone or down: there is nothing more to see until it is
        // back up
        let dead = tape.read().is_err() && !stopped;
        if stopped || (dead && wait_readable(stop.as_fd(), Duration::from_millis(50))) {
            return;
        }
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").field("name", &self.name).field("frames", &self.mark()).finish_non_exhaustive()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(recorder) = self.recorder.take() {
            let _ = recorder.join();
        }
        let lost = self.tape.lost.load(Ordering::Relaxed);
        if lost > 0 {
            println!("{}: the recorder lost {lost} frames", self.name);
        }
        if thread::panicking() {
            return self.keep();
        }
        if self.lenient.load(Ordering::Relaxed) {
            return;
        }
        if let Some(faults) = faults(&self.frames(), &self.dir, &self.name).filter(|f| !f.is_empty()) {
            self.keep();
            panic!("tshark finds fault with frames of {}:\n{faults}", self.name);
        }
    }
}

impl Wire {
    /// Leaves the frames where a person can read them.
    fn keep(&self) {
        let dir = target_dir().join("lab");
        let path = dir.join(format!("{}.pcap", self.name));
        if fs::create_dir_all(&dir).is_ok() {
            write_pcap(&path, &self.frames());
            println!("the frames are in {}", path.display());
        }
    }
}
