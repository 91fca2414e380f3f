//! `/bench`: how fast the model runs on this machine, and how fast it could.

use crate::state::State;
use crate::{World, prompt};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use bootllm_bench::{
    BenchProgress, BenchReport, BenchRun, Limits, MeasureError, OnProgress, Workload,
    measure_speed, memory_needed,
};
use bootllm_cores::{Cores, OneCore};
use bootllm_engine::{Memory, Model};
use bootllm_simd::Cpu;
use bootllm_units::{bytes, cores_phrase};
use core::time::Duration;

/// Tokens of the prompt that is fed.
const PREFILL: usize = 256;
/// Tokens that are fed one by one.
const DECODE: usize = 64;
/// Each is measured so often at most,
const TIMES: usize = 5;
/// and no oftener than that once it has taken so long.
const ENOUGH: Duration = Duration::from_secs(5);
/// Dots that a line of progress grows to.
const DOTS: usize = 40;

/// Measures the model as it runs at the prompt, with one core and with all. It is fed other texts in
/// a session of its own; that of the prompt stays as it is. Esc and Ctrl+C stop it.
pub(crate) fn bench(world: &mut World<'_>) -> State {
    if let Err(problem) = measure_all(world) {
        world.terminal.problem(&problem);
    }
    prompt::begin(world)
}

fn measure_all(world: &mut World<'_>) -> Result<(), String> {
    let Some(chat) = &world.chat else { return Err("no model is loaded".into()) };
    let (model, name) = (chat.model.clone(), chat.name.clone());
    let (context, kv_format) = (chat.sequence.capacity(), chat.sequence.kv_format());
    let loading_time = chat.loading_time;
    let needed = memory_needed(model.plan(), context, kv_format);
    let free = world.machine.memory_free();
    if !Memory::leaves_reserve(needed, free) {
        return Err(format!(
            "measuring needs {} of memory, this machine has {} free",
            bytes(needed),
            bytes(free)
        ));
    }
    let (prefill, decode) = (PREFILL.min(context), DECODE.min(context));
    let workload = Workload { prefill, decode, repetitions: TIMES, enough: ENOUGH, kv_format };
    let report = BenchReport { name: &name, plan: model.plan(), isa: model.isa(), workload };
    world.terminal.quiet("Esc or Ctrl+C stops it.\n");
    world.terminal.write(&format!("{report}"));
    let cores: &[&dyn Cores] =
        if world.cores.count() == 1 { &[&OneCore] } else { &[&OneCore, world.cores] };
    let mut last = None;
    for &cores in cores {
        let measured = measure(&model, world, cores, workload);
        world.terminal.write("\r\x1b[K");
        let mut run = measured.map_err(|error| format!("{error}"))?;
        // All cores loaded it together.
        run.load = (cores.count() == world.cores.count()).then_some(loading_time);
        world.terminal.write(&format!("{}", report.row(last.insert(run))));
    }
    if let Some(run) = &last {
        world.terminal.write(&format!("{}", report.details(run)));
    }
    Ok(())
}

/// Measures with these cores, and shows how far it is.
fn measure(
    model: &Arc<Model>,
    world: &mut World<'_>,
    cores: &dyn Cores,
    workload: Workload,
) -> Result<BenchRun, MeasureError> {
    let count = cores.count();
    let of_cores = cores_phrase(count);
    let (terminal, clock) = (&mut world.terminal, world.clock);
    let mut dots = 0;
    let on_progress: OnProgress<'_> = &mut |progress| {
        match progress {
            BenchProgress::Begun { phase, repetition, repetitions } => {
                dots = 0;
                let of = format!("{repetition} of {repetitions}");
                terminal.write(&format!("\r{of_cores}: {phase}, {of} \x1b[K"));
            }
            // Written without allocating.
            BenchProgress::Fed { done, total } => {
                while dots < DOTS * done / total {
                    dots += 1;
                    terminal.write(".");
                }
            }
        }
        terminal.poll_cancel()
    };
    let cpu = Cpu::detect().limited_to(model.isa());
    let limits = Limits::measure(cores, cpu, clock, on_progress)?;
    let speeds = measure_speed(model, cores, clock, workload, on_progress)?;
    Ok(BenchRun { cores: count, load: None, limits, speeds })
}
