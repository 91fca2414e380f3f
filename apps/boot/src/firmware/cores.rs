//! The processors that compute: the boot core, and the application processors that MP Services of
//! the firmware start (Platform Initialization specification, volume 2, "MP Services Protocol").
//!
//! Application processors come up with interrupts off and a small stack. They switch on their
//! vector registers and work in the [`Team`] until they are dismissed; they do not allocate, print
//! or call the firmware. They are woken once at the start, to see which of them come, and are not
//! waited for later: firmware that starts none, or not all, leaves their share to the others.
//!
//! Between replies they sleep, in one of two ways. Where the CPU can watch memory (MONITOR and
//! MWAIT on x86), they stay in the team and watch for work. In a virtual machine such watching is
//! missing or no sleep, and with interrupts off nothing else wakes a halted processor: there they
//! go back to the firmware, which lets them sleep in its own way, and are started again.

use super::clock::TickClock;
use super::storage::Volume;
use super::{cpu, protocol};
use crate::core_limit::{self, CoreLimit};
use crate::topology::{self, Processor};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bootllm_cores::{Cores, Idle, OneCore, Parked, Signal, Team};
use bootllm_platform::Clock;
use bootllm_units as units;
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use core::time::Duration;
use uefi::boot::{self, EventType, Tpl};
use uefi::proto::pi::mp::MpServices;
use uefi::{Event, ResultExt, Status};

/// Pause between two attempts to start processors that the firmware has not seen returning yet.
const BETWEEN_STARTS: Duration = Duration::from_millis(10);
/// Time limit for processors to return to the firmware, which looks every 100 ms (edk2's
/// DxeMpLib).
const RETURN: Duration = Duration::from_secs(2);

/// Time limit for processors to come after they were started. It takes 20 ms where it works (edk2's
/// MpInitLib).
const COMING: Duration = Duration::from_secs(2);

/// The team, for a processor that panics.
static TEAM: AtomicPtr<Team<Processors>> = AtomicPtr::new(ptr::null_mut());
/// Which processor is the boot core.
static BOOT_CORE: AtomicU64 = AtomicU64::new(0);

/// The cores of the machine.
pub struct FirmwareCores {
    team: Option<&'static Team<Processors>>,
    /// Whether other cores than the boot core have come.
    together: bool,
    fact: String,
    warning: Option<String>,
}

impl FirmwareCores {
    /// Finds the cores and wakes up to `limit` of them. The marker file is on the volume meanwhile.
    pub fn wake(clock: TickClock, limit: Option<CoreLimit>, volume: &mut Volume) -> Self {
        let alone = |fact| Self { team: None, together: false, fact, warning: None };
        let Some((services, processors)) = processors() else {
            return alone("1 that the firmware reports".into());
        };
        let mut places = topology::places(&processors, cpu::threads());
        let there_are = places.iter().flatten().count();
        let mut fact = in_words(&processors, there_are);
        let limit = limit.filter(|limit| limit.cores < there_are);
        let warning = limit.map(|CoreLimit { cores, reason }| {
            topology::limit(&mut places, cores);
            fact += &format!("; at most {cores} of them computes, because {reason}");
            format!("At most {cores} of {there_are} cores computes: {reason}.")
        });
        let cores = places.iter().flatten().count();
        if cores < 2 {
            return Self { warning, ..alone(fact) };
        }
        // SAFETY: the events have no function that the firmware would call.
        let event = || unsafe { boot::create_event(EventType::empty(), Tpl::CALLBACK, None, None) };
        let Ok(back) = places.iter().map(|_| event()).collect::<Result<Vec<_>, _>>() else {
            return alone(fact);
        };
        let parked = if cpu::can_watch() { Parked::Asleep } else { Parked::Returned };
        fact += match parked {
            Parked::Asleep => "; the others rest by MWAIT",
            Parked::Returned => "; the others rest in the firmware",
        };
        let idle = Processors {
            services,
            running: places.iter().map(|_| AtomicBool::new(false)).collect(),
            places,
            parked,
            seldom_pauses: cpu::is_virtual(),
            clock,
            back,
            away: AtomicBool::new(true),
            one_by_one: AtomicBool::new(false),
            next_start: AtomicU64::new(0),
        };
        // Processors may come to it at any time until the machine stops.
        let team: &'static _ = Box::leak(Box::new(Team::new(cores, idle)));
        BOOT_CORE.store(cpu::id(), Ordering::Relaxed);
        TEAM.store(ptr::from_ref(team).cast_mut(), Ordering::Release);

        // A disk that cannot be written to has no marker.
        let _ = volume.write_text(core_limit::MARKER_FILE, "The cores are being woken.\n");
        let came = wake_for_the_first_time(team);
        volume.remove(core_limit::MARKER_FILE);
        let missing = (came < cores)
            .then(|| format!("Only {came} of {cores} cores came when the firmware woke them."));
        if let Some(missing) = &missing {
            fact += &format!("; {missing}");
        }
        let warning = match (warning, missing) {
            (Some(limited), Some(missing)) => Some(limited + " " + &missing),
            (limited, missing) => limited.or(missing),
        };
        Self { team: Some(team), together: came > 1, fact, warning }
    }

    /// A message for the user, if not all cores compute.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// The cores that computations use.
    pub fn cores(&self) -> &dyn Cores {
        match self.team {
            Some(team) if self.together => team,
            _ => &OneCore,
        }
    }

    /// Describes the cores.
    pub fn fact(&self) -> &str {
        &self.fact
    }

    /// Sends all processors back to the firmware. Returns false if some have not left in time: then
    /// this program must stay in memory.
    #[must_use]
    pub fn dismiss(&self) -> bool {
        let Some(team) = self.team else { return true };
        team.dismiss();
        let idle = team.idle();
        let deadline = idle.clock.now() + RETURN;
        while !idle.are_back() {
            if idle.clock.now() > deadline {
                return false;
            }
            boot::stall(Duration::from_millis(1));
        }
        true
    }
}

/// Wakes the workers and lets those that come rest. Returns the number of cores that are there.
fn wake_for_the_first_time(team: &Team<Processors>) -> usize {
    let idle = team.idle();
    let deadline = idle.clock.now() + COMING;
    idle.wake();
    while team.count() < idle.cores() && idle.clock.now() < deadline {
        boot::stall(Duration::from_micros(100));
    }
    team.park();
    team.count()
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

/// Returns MP Services and the processors that they know.
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
    parked: Parked,
    /// In an emulator, a core that pauses all the time slows down the others.
    seldom_pauses: bool,
    clock: TickClock,
    /// Signalled when the processor of the number has come back; the first one stands for all that
    /// were started together.
    back: Vec<Event>,
    /// Which of them will be signalled.
    running: Vec<AtomicBool>,
    /// Whether they must be started to be there.
    away: AtomicBool,
    /// Whether the firmware has refused to start them together.
    one_by_one: AtomicBool,
    /// Time of the next attempt, in nanoseconds of the clock.
    next_start: AtomicU64,
}

// SAFETY: the events are used on the boot core alone, by those methods of `Idle` that the team
// calls there, for only the boot core calls `run`, `rest` and `dismiss`. Application processors
// make of `services` the one call that is allowed to them. The rest is plain data.
unsafe impl Sync for Processors {}

impl Processors {
    fn cores(&self) -> usize {
        self.places.iter().flatten().count()
    }

    /// Whether none is running in this program.
    fn are_back(&self) -> bool {
        self.running.iter().zip(&self.back).all(|(running, back)| {
            let is_back = || boot::check_event(back).unwrap_or(false);
            if running.load(Ordering::Relaxed) && is_back() {
                running.store(false, Ordering::Relaxed);
            }
            !running.load(Ordering::Relaxed)
        })
    }

    /// Starts all of them, one by one where the firmware cannot start them together.
    fn start(&self) -> Status {
        if !self.one_by_one.load(Ordering::Relaxed) {
            let status = self.start_with(0, |services, team, back| {
                services.startup_all_aps(false, arrive, team, Some(back), None)
            });
            if matches!(status, Status::SUCCESS | Status::NOT_READY) {
                return status;
            }
            self.one_by_one.store(true, Ordering::Relaxed);
        }
        let mut outcome = Status::UNSUPPORTED;
        for (number, place) in self.places.iter().enumerate() {
            if let Some(1..) = place {
                let status = self.start_with(number, |services, team, back| {
                    services.startup_this_ap(number, arrive, team, Some(back), None)
                });
                if outcome != Status::SUCCESS {
                    outcome = status;
                }
            }
        }
        outcome
    }

    fn start_with(
        &self,
        number: usize,
        start: impl FnOnce(&MpServices, *mut c_void, Event) -> uefi::Result,
    ) -> Status {
        // The last signal is not that of this start.
        let _ = boot::check_event(&self.back[number]);
        // SAFETY: the event is never closed.
        let back = unsafe { self.back[number].unsafe_clone() };
        let team = TEAM.load(Ordering::Relaxed).cast::<c_void>();
        // SAFETY: they are still installed.
        let status = start(unsafe { &*self.services }, team, back).status();
        if status == Status::SUCCESS {
            self.running[number].store(true, Ordering::Relaxed);
        }
        status
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
        match self.parked {
            // SAFETY: processors rest asleep only where `can_watch` is true, and the signal that is
            // borrowed here is mapped.
            Parked::Asleep => unsafe { cpu::watch(signal.address(), || signal.is_set()) },
            // It is not time to rest, so they stay.
            Parked::Returned => {
                (0..Self::TURNS).take_while(|_| !signal.is_set()).for_each(|turn| self.pause(turn))
            }
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
            Status::SUCCESS => self.away.store(false, Ordering::Relaxed),
            // It has not noticed yet that they are back.
            Status::NOT_READY => {
                let next = (now + BETWEEN_STARTS).as_nanos() as u64;
                self.next_start.store(next, Ordering::Relaxed);
            }
            // The firmware cannot: the boot core computes alone, at least until the next reply.
            _ => self.away.store(false, Ordering::Relaxed),
        }
    }

    fn park(&self) -> Parked {
        if self.parked == Parked::Returned {
            self.away.store(true, Ordering::Relaxed);
        }
        self.parked
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
