#![forbid(unsafe_code)]
//! Tasks of the repository: `cargo xtask --help`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::models::Named;
use xtask::project::Project;
use xtask::target::CoreFrom;
use xtask::{
    bench, clean, fetch, flash, image, instructions, neon, program, run, setup, test, verify,
};

/// Sets up, builds, makes the bootable image, runs it in QEMU, tests.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,

    /// Where the UEFI program's core library comes from.
    #[arg(long, global = true, value_enum, env = "BOOTLLM_CORE", default_value = "any")]
    core: CoreFrom,
}

#[derive(Subcommand)]
enum Task {
    /// Gets what the other tasks need: the build target, QEMU and firmware for it.
    Setup {
        /// The UEFI firmware to use (its file of code).
        #[arg(long, value_name = "FILE")]
        ovmf: Option<PathBuf>,
    },
    /// Builds the UEFI program.
    Build {
        /// Put this model into the program, which then boots with nothing beside it.
        #[arg(long, value_name = "MODEL")]
        embed: Option<PathBuf>,

        /// The tokenizer of that model.
        #[arg(long, value_name = "FILE", requires = "embed")]
        tokenizer: Option<PathBuf>,
    },
    /// Makes the image of a bootable disk.
    Image {
        #[command(flatten)]
        named: Named,

        /// The image to make, instead of one beside the program in target/boot.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Boots the image in QEMU, with this terminal as its console.
    Run(Box<run::Options>),
    /// Counts the instructions that a token takes on bare metal and under Linux, in the same QEMU.
    Instructions(instructions::Options),
    /// Fetches a model from its public home: stories260K, stories15M, stories42M, stories110M, or
    /// Llama 2's tokenizer.
    Fetch {
        /// What to fetch.
        name: String,
    },
    /// Compares a fetched model's first logits with the known ones.
    Verify {
        /// A model that was fetched.
        name: String,
    },
    /// Makes a stick bootable, which erases it.
    Flash(Box<flash::Options>),
    /// Measures how fast the engine is, alone or in turn with llama2.c and llama.cpp on the same
    /// weights: medians, and how many times as fast ours is.
    Bench(Box<bench::Options>),
    /// Tests everything: format, lints, unit tests, the UEFI build, training, and booting in QEMU.
    Test {
        /// Leave out what takes long: training a model, booting and fuzzing.
        #[arg(long)]
        quick: bool,

        /// Only the tests of NEON, AArch64's vector instructions, in an emulator; gets what is
        /// missing for that.
        #[arg(long, conflicts_with = "quick")]
        neon: bool,
    },
    /// Removes what was built.
    Clean {
        /// Fetched models and the built core library too.
        #[arg(long)]
        all: bool,
    },
}

fn main() -> ExitCode {
    match work(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn work(arguments: &Arguments) -> Result<()> {
    let project = Project::find()?;
    match &arguments.task {
        Task::Setup { ovmf } => setup::all(&project, arguments.core, ovmf.as_deref()),
        Task::Build { embed, tokenizer } => {
            let target = setup::target(&project, arguments.core)?;
            let named = Named::embedded(embed.clone(), tokenizer.clone());
            let program = program::build(&project, &target, named.open_embedded()?.as_ref())?;
            eprintln!("built {}", project.shown(&program.file));
            Ok(())
        }
        Task::Image { named, output } => {
            let target = setup::target(&project, arguments.core)?;
            image::task(&project, &target, named, output.as_deref())
        }
        Task::Run(options) => run::task(&project, arguments.core, options),
        Task::Instructions(options) => instructions::task(&project, arguments.core, options),
        Task::Fetch { name } => fetch::task(&project, name),
        Task::Verify { name } => verify::task(&project, name),
        Task::Flash(options) => flash::task(&project, arguments.core, options),
        Task::Bench(options) => bench::task(&project, options),
        Task::Test { neon: true, .. } => neon::task(&project),
        Task::Test { quick, .. } => test::task(&project, arguments.core, *quick),
        Task::Clean { all } => clean::task(&project, *all),
    }
}
