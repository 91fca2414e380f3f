//! Opening and loading models and their tokenizers.

use crate::{FileReader, ProgressBar, StdClock, memory_available, write_whole};
use anyhow::{Context, Result, bail};
use bootllm_cores::Cores;
use bootllm_engine::{KvFormat, Loading, Memory, Model, Plan, cpu_after_self_test};
use bootllm_model_file::{ModelFile, OutputFormat, Tokens, convert};
use bootllm_platform::Clock;
use bootllm_simd::Cpu;
use bootllm_tokenizer::{Tokenizer, names_beside};
use bootllm_units::bytes;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A model file whose description has been read.
pub struct ModelSource {
    /// Its path.
    pub path: PathBuf,
    /// What it holds.
    pub file: Arc<ModelFile>,
    /// The file itself.
    pub source: FileReader,
}

/// Opens a model file and reads its description.
pub fn open(path: &Path) -> Result<ModelSource> {
    let context = || path.display().to_string();
    let mut source = FileReader::open(path).with_context(context)?;
    let file = Arc::new(bootllm_model_file::read(&mut source).with_context(context)?);
    Ok(ModelSource { path: path.to_owned(), file, source })
}

impl ModelSource {
    /// What the model needs to run, if it can be run.
    pub fn plan(&self) -> Result<Arc<Plan>> {
        let plan = Plan::new(self.file.clone());
        plan.map(Arc::new).with_context(|| self.path.display().to_string())
    }

    /// Writes the model in another format, with progress on standard error, and says how many bytes
    /// that took.
    pub fn convert(
        &mut self,
        format: OutputFormat,
        tokens: Option<&dyn Tokens>,
        output: &Path,
    ) -> Result<u64> {
        // Its own file would be replaced while it is read.
        if output.canonicalize().ok() == Some(self.path.canonicalize()?) {
            bail!("{}: a model cannot be converted into its own file", output.display());
        }
        let (clock, mut bar) = (StdClock::new(), ProgressBar::new("converting"));
        let total = self.file.size;
        write_whole(output, |sink| {
            let result = convert(&self.file, &mut self.source, format, tokens, sink, &mut |done| {
                bar.show(done, total, clock.now());
            });
            bar.clear();
            result.with_context(|| self.path.display().to_string())
        })
    }

    /// Loads the weights on these cores, with progress on standard error, if the memory is there.
    pub fn load(&mut self, cores: &dyn Cores, context: Option<usize>) -> Result<Arc<Model>> {
        self.load_for(Cpu::detect(), cores, context, KvFormat::default())
    }

    /// The same, to run with the instruction sets that `cpu` says, as far as they pass the self-test
    /// on this machine, and with keys and values in a format for which there must be memory, too.
    pub fn load_for(
        &mut self,
        cpu: Cpu,
        cores: &dyn Cores,
        context: Option<usize>,
        kv: KvFormat,
    ) -> Result<Arc<Model>> {
        let name = self.path.display().to_string();
        let plan = self.plan()?;
        let context = self.context(&plan, context)?;
        ensure_memory(&plan.memory(context, kv)).with_context(|| name.clone())?;
        let clock = StdClock::new();
        let mut bar = ProgressBar::new("loading");
        let mut progress = |loading: Loading| {
            bar.show(loading.done, loading.total, clock.now());
            ControlFlow::Continue(())
        };
        let (cpu, source) = (cpu_after_self_test(cpu), &mut self.source);
        let model = Model::load_for(cpu, &plan, source, cores, context, &mut progress);
        bar.clear();
        model.with_context(|| name)
    }

    /// Positions of the context: as many as asked for, else as the model can have.
    pub fn context(&self, plan: &Plan, wanted: Option<usize>) -> Result<usize> {
        let longest = plan.shape().context;
        match wanted.unwrap_or(longest) {
            context if (1..=longest).contains(&context) => Ok(context),
            context => {
                let name = self.path.display();
                bail!("{name}: the context can have 1 to {longest} tokens, not {context}")
            }
        }
    }

    /// The model's tokenizer: the file that was named, else what is inside the model, else the file
    /// beside it.
    pub fn tokenizer(&self, named: Option<&Path>) -> Result<Tokenizer> {
        let path = match (named, &self.file.vocabulary) {
            (Some(path), _) => path.to_owned(),
            (None, None) => self.tokenizer_beside()?,
            (None, Some(vocabulary)) => {
                let mut source = FileReader::open(&self.path)?;
                let tokenizer = Tokenizer::inside(vocabulary, &mut source);
                return tokenizer.with_context(|| self.path.display().to_string());
            }
        };
        read_tokenizer(&path, self.plan()?.shape().vocab_size)
    }

    fn tokenizer_beside(&self) -> Result<PathBuf> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let names = names_beside(&name);
        let found = names.iter().map(|name| self.path.with_file_name(name)).find(|p| p.exists());
        found.with_context(|| {
            let path = self.path.display();
            let [own, common] = &names;
            format!("{path}: there is no {own} or {common} beside it; name one with --tokenizer")
        })
    }
}

/// Refuses a model that needs more memory than the machine has, as far as the system says.
pub fn ensure_memory(needed: &Memory) -> Result<()> {
    match memory_available() {
        Some(available) if !needed.fits(available) => bail!(
            "the model needs {} of memory, this machine has {} free; choose a smaller model, a \
             shorter context, or a smaller format of keys and values (--kv)",
            bytes(needed.total()),
            bytes(available)
        ),
        _ => Ok(()),
    }
}

/// Reads a tokenizer file for a model with `vocab_size` tokens.
pub fn read_tokenizer(path: &Path, vocab_size: usize) -> Result<Tokenizer> {
    let context = || path.display().to_string();
    let mut source = FileReader::open(path).with_context(context)?;
    Tokenizer::open(&mut source, vocab_size).with_context(context)
}
