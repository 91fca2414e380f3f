#![forbid(unsafe_code)]
//! Tasks of the repository: `cargo xtask --help`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::arch::X86_64;
use xtask::models::ModelArgs;
use xtask::program::Profile;
use xtask::project::Project;
use xtask::target::CoreSource;
use xtask::{
    bench, clean, fetch, flash, image, instructions, program, release, run, setup, test, verify,
};

/// Builds bootllm, makes its disk image, runs it in QEMU and tests it.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,

    /// Where the UEFI program's core library comes from; explained by `setup --help`.
    #[arg(
        long,
        global = true,
        value_enum,
        env = "BOOTLLM_CORE",
        default_value = "any",
        hide = true
    )]
    core: CoreSource,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the other tasks need: the build target, QEMU and its firmware.
    ///
    /// Every task takes the option --core (or the variable BOOTLLM_CORE): where Rust's core library
    /// for the UEFI program comes from. `any`, the default: the first that works of the other two.
    /// `rustup`: the toolchain, and rustup installs it. `source`: it is compiled from Rust's source.
    Setup {
        /// The code file of the UEFI firmware to use.
        #[arg(long, value_name = "FILE")]
        ovmf: Option<PathBuf>,
    },
    /// Build the UEFI program.
    Build {
        /// Put this model into the program, which then boots with no file next to it.
        #[arg(long, value_name = "MODEL")]
        embed: Option<PathBuf>,

        /// The tokenizer of that model.
        #[arg(long, value_name = "FILE", requires = "embed")]
        tokenizer: Option<PathBuf>,

        /// Build without link-time optimisation: the build is faster, the program slower.
        #[arg(long)]
        dev: bool,
    },
    /// Make the image of a bootable disk.
    Image(image::Options),
    /// Boot the image in QEMU, with this terminal as its console.
    Run(Box<run::Options>),
    /// Make a stick bootable, which erases it.
    Flash(Box<flash::Options>),
    /// Download a model: stories260K, stories15M, stories42M or stories110M, or Llama 2's tokenizer.
    Fetch {
        /// What to download.
        name: String,
    },
    /// Compare the first logits of a downloaded model with the known ones.
    Verify {
        /// The name of the model.
        name: String,
    },
    /// Run the tests, all or some steps: formatting, lints, tests, training, booting in QEMU.
    Test(test::Options),
    /// Measure the speed of the engine, alone or in turn with llama2.c and llama.cpp on the same
    /// weights.
    Bench(Box<bench::Options>),
    /// Count the instructions per token on bare metal and under Linux, in the same QEMU.
    Instructions(instructions::Options),
    /// Make the files of a release: image, program, checksums and notes.
    Release,
    /// Remove what was built.
    Clean {
        /// Downloaded models and the built core library too.
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
    let core = arguments.core;
    match &arguments.task {
        Task::Setup { ovmf } => setup::task(&project, &X86_64, core, ovmf.as_deref()),
        Task::Build { embed, tokenizer, dev } => {
            let target = setup::target(&project, &X86_64, core)?;
            let named = ModelArgs::embedded(embed.clone(), tokenizer.clone());
            let profile = if *dev { Profile::Dev } else { Profile::Release };
            let embedded = named.open_embedded()?;
            let program = program::build(&project, &target, profile, embedded.as_ref())?;
            eprintln!("built {}", project.shown(&program.file));
            Ok(())
        }
        Task::Image(options) => {
            image::task(&project, &setup::target(&project, &X86_64, core)?, options)
        }
        Task::Run(options) => run::task(&project, core, options),
        Task::Flash(options) => flash::task(&project, core, options),
        Task::Fetch { name } => fetch::task(&project, name),
        Task::Verify { name } => verify::task(&project, name),
        Task::Test(options) => test::task(&project, core, options),
        Task::Bench(options) => bench::task(&project, options),
        Task::Instructions(options) => instructions::task(&project, core, options),
        Task::Release => release::task(&project, &setup::target(&project, &X86_64, core)?),
        Task::Clean { all } => clean::task(&project, *all),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    /// An option of every task is not repeated in every help.
    #[test]
    fn only_the_help_of_setup_explains_core() {
        let mut command = Arguments::command();
        command.build();
        for task in command.get_subcommands_mut() {
            let mentioned = task.render_long_help().to_string().contains("--core");
            assert_eq!(mentioned, task.get_name() == "setup", "{}", task.get_name());
        }
    }
}
