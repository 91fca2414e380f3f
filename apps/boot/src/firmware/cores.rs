//! The processors that compute: the boot core, and the application processors that MP Services of
//! the firmware start (Platform Initialization specification, volume 2, "MP Services Protocol").
//!
//! Application processors come up with interrupts off and a small stack. They switch on their vector
//! registers and work in the [`Team`] until they are dismissed; they do not allocate, print or call
//! the firmware. They are started at the first run and not waited for, then or later: firmware that
//! starts none, or not all, leaves their share to the others.
//!
//! Between replies they sleep, in one of two ways. Where the CPU can watch memory (MONITOR and MWAIT
//! on x86), they stay in the team and watch for work. In a virtual machine such watching is missing
//! or no sleep, and with interrupts off nothing else wakes a halted processor: there they go back to
//! the firmware, which lets them sleep in its own way, and are started again.

use super::clock::TickClock;
use super::{cpu, protocol};
use crate::topology::{self, Processor};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bootllm_cores::{Cores, Idle, OneCore, Resting, Signal, Team};
use bootllm_platform::Clock;
use bootllm_units as units;
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use core::time::Duration;
use uefi::boot::{self, EventType, Tpl};
use uefi::proto::pi::mp::MpServices;
use uefi::{Event, ResultExt, Status};

/// Between two tries to start processors that the firmware has not seen coming back yet.
const BETWEEN_STARTS: Duration = Duration::from_millis(10);
/// How long processors may take to go back to the firmware. It looks every 100 ms (edk2's
/// DxeMpLib).
const RETURN: Duration = Duration::from_secs(2);

/// The team, for who has no other way to it: a processor that panics.
static TEAM: AtomicPtr<Team<Processors>> = AtomicPtr::new(ptr::null_mut());
/// Which processor is the boot core.
static BOOT_CORE: AtomicU64 = AtomicU64::new(0);

/// The cores of the machine.
pub struct FirmwareCores {
    team: Option<&'static Team<Processors>>,
    fact: String,
}

impl FirmwareCores {
    /// Asks the firmware what there is. Starts nothing yet.
    pub fn find(clock: TickClock) -> Self {
        let Some((services, processors)) = processors() else {
            return Self { team: None, fact: "1 that the firmware tells of".into() };
        };
        let places = topology::places(&processors, cpu::threads());
        let cores = places.iter().flatten().count();
        let mut fact = in_words(&processors, cores);
        if cores < 2 {
            return Self { team: None, fact };
        }
        // SAFETY: the event has no function that the firmware would call.
        let back = unsafe { boot::create_event(EventType::empty(), Tpl::CALLBACK, None, None) };
        let Ok(back) = back else { return Self { team: None, fact } };
        let resting = if cpu::can_watch() { Resting::Asleep } else { Resting::Away };
        fact += match resting {
            Resting::Asleep => "; the others rest by MWAIT",
            Resting::Away => "; the others rest in the firmware",
        };
        let idle = Processors {
            services,
            places,
            resting,
            seldom_pauses: cpu::is_virtual(),
            clock,
            back,
            away: AtomicBool::new(true),
            running: AtomicBool::new(false),
            next_start: AtomicU64::new(0),
        };
        // Processors may come to it at any time until the machine stops.
        let team: &'static _ = Box::leak(Box::new(Team::new(cores, idle)));
        BOOT_CORE.store(cpu::id(), Ordering::Relaxed);
        TEAM.store(ptr::from_ref(team).cast_mut(), Ordering::Release);
        Self { team: Some(team), fact }
    }

    /// The cores that computations use.
    pub fn cores(&self) -> &dyn Cores {
        match self.team {
            Some(team) => team,
            None => &OneCore,
        }
    }

    /// What there is, in words.
    pub fn fact(&self) -> &str {
        &self.fact
    }

    /// Sends all processors back to the firmware. False if some have not gone after a while: this
    /// program must stay in memory then.
    #[must_use]
    pub fn dismiss(&self) -> bool {
        let Some(team) = self.team else { return true };
        team.dismiss();
        let idle = team.idle();
        let deadline = idle.clock.now() + RETURN;
        while idle.running.load(Ordering::Relaxed) {
            if idle.are_back() {
                idle.running.store(false, Ordering::Relaxed);
            } else if idle.clock.now() > deadline {
                return false;
            } else {
                boot::stall(Duration::from_millis(1));
            }
        }
        true
    }
}

/// Whether this is the boot core, which alone may call the firmware.
pub fn on_boot_core() -> bool {
    TEAM.load(Ordering::Acquire).is_null() || cpu::id() == BOOT_CORE.load(Ordering::Relaxed)
}

/// Stops an application processor that panicked; the boot core panics in turn.
pub fn stop_this_processor() -> ! {
    // SAFETY: the team is never freed.
    if let Some(team) = unsafe { TEAM.load(Ordering::Acquire).as_ref() } {
        // SAFETY: this program ends when it panics.
        unsafe { team.abandon() };
    }
    loop {
        cpu::halt();
    }
}

/// MP Services, and what processors they know.
fn processors() -> Option<(*const MpServices, Vec<Processor>)> {
    let device = protocol::first_device::<MpServices>()?;
    protocol::with::<MpServices, _>(device, |services| {
        let count = services.get_number_of_processors().ok()?.total;
        let describe = |number| {
            let info = services.get_processor_info(number).ok()?;
            let location = [info.location.package, info.location.core, info.location.thread];
            let usable = info.is_enabled() && info.is_healthy();
            Some(Processor { boots: info.is_bsp(), usable, location })
        };
        let processors = (0..count).map(describe).collect::<Option<_>>()?;
        Some((ptr::from_mut(services).cast_const(), processors))
    })
    .ok()?
}

fn in_words(processors: &[Processor], cores: usize) -> String {
    let usable = processors.iter().filter(|processor| processor.usable).count();
    let words = units::cores(cores, usable);
    match processors.len() - usable {
        0 => words,
        disabled => format!("{words}, {disabled} more are disabled"),
    }
}

/// The application processors.
struct Processors {
    /// They are never uninstalled.
    services: *const MpServices,
    /// Each processor's place in the team, by the firmware's numbers.
    places: Vec<Option<usize>>,
    resting: Resting,
    /// In an emulator, a core that pauses all the time slows down the others.
    seldom_pauses: bool,
    clock: TickClock,
    /// Signalled when all that were started have come back.
    back: Event,
    /// Whether they must be started to be there.
    away: AtomicBool,
    /// Whether some were started and the firmware has not said that they are back.
    running: AtomicBool,
    /// When to try next, in nanoseconds of the clock.
    next_start: AtomicU64,
}

// SAFETY: the event is used on the boot core alone, by those methods of `Idle` that the team calls
// there, for only the boot core calls `run`, `rest` and `dismiss`. Application processors make of
// `services` the one call that is allowed to them. The rest is plain data.
unsafe impl Sync for Processors {}

impl Processors {
    fn are_back(&self) -> bool {
        boot::check_event(&self.back).unwrap_or(false)
    }

    /// Starts all of them.
    fn start(&self) -> Status {
        // The last signal is not that of this start.
        self.are_back();
        // SAFETY: the event is never closed.
        let back = unsafe { self.back.unsafe_clone() };
        let team = TEAM.load(Ordering::Relaxed).cast::<c_void>();
        // SAFETY: they are still installed.
        let services = unsafe { &*self.services };
        services.startup_all_aps(false, arrive, team, Some(back), None).status()
    }
}

impl Idle for Processors {
    /// Watching begins after a millisecond or so.
    const TURNS: u32 = 1 << 16;

    fn pause(&self, turn: u32) {
        if !self.seldom_pauses || turn % 4096 == 4095 {
            core::hint::spin_loop();
        }
    }

    fn sleep(&self, signal: &Signal<'_>) {
        match self.resting {
            // SAFETY: processors rest asleep only where `can_watch` is true, and the signal that is
            // borrowed here is mapped.
            Resting::Asleep => unsafe { cpu::watch(signal.address(), || signal.is_given()) },
            // It is not time to rest, so they stay.
            Resting::Away => (0..Self::TURNS)
                .take_while(|_| !signal.is_given())
                .for_each(|turn| self.pause(turn)),
        }
    }

    fn wake(&self) {
        if !self.away.load(Ordering::Relaxed) {
            return;
        }
        let now = self.clock.now();
        if now.as_nanos() < self.next_start.load(Ordering::Relaxed).into() {
            return;
        }
        match self.start() {
            Status::SUCCESS => {
                self.running.store(true, Ordering::Relaxed);
                self.away.store(false, Ordering::Relaxed);
            }
            // It has not noticed yet that they are back.
            Status::NOT_READY => {
                let next = (now + BETWEEN_STARTS).as_nanos() as u64;
                self.next_start.store(next, Ordering::Relaxed);
            }
            // The firmware cannot: the boot core computes alone, at least until the next reply.
            _ => self.away.store(false, Ordering::Relaxed),
        }
    }

    fn rest(&self) -> Resting {
        if self.resting == Resting::Away {
            self.away.store(true, Ordering::Relaxed);
        }
        self.resting
    }
}

/// Where an application processor starts.
extern "efiapi" fn arrive(team: *mut c_void) {
    cpu::prepare();
    // SAFETY: it is the team that `Processors::start` gives, which is never freed.
    work(unsafe { &*team.cast::<Team<Processors>>() });
}

/// Works in the team, if the processor has a place in it.
///
/// It is a function of its own so that no vector register is used before it.
#[inline(never)]
fn work(team: &Team<Processors>) {
    let idle = team.idle();
    // SAFETY: they are still installed, and this call may be made on any processor.
    let number = unsafe { &*idle.services }.who_am_i();
    let place = number.ok().and_then(|number| idle.places.get(number).copied().flatten());
    if let Some(place @ 1..) = place {
        team.work(place);
    }
}
