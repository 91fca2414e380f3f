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

/// A model file whose description was read.
pub struct ModelSource {
    /// Its path.
    pub path: PathBuf,
    /// Its description.
    pub file: Arc<ModelFile>,
    /// The file itself.
    pub source: FileReader,
}

/// Directories searched for a model given by name alone.
const MODEL_FOLDERS: [&str; 2] = ["models", "target/models"];
/// Endings that are tried after the given name.
const ENDINGS: [&str; 3] = ["", ".gguf", ".bin"];

/// Opens a model file and reads its description. A name without a directory that is not in the
/// current directory is looked for in `models` and `target/models` there, with and without its
/// ending (`.gguf`, `.bin`).
pub fn open(path: &Path) -> Result<ModelSource> {
    let is_name = path.components().count() == 1 && path.file_name().is_some();
    let found = (is_name && !path.exists()).then(|| find(path)).flatten();
    let path = found.as_deref().unwrap_or(path);
    let context = || match is_name && !path.exists() {
        true => format!("{} (neither here nor in {})", path.display(), MODEL_FOLDERS.join(", ")),
        false => path.display().to_string(),
    };
    let mut source = FileReader::open(path).with_context(context)?;
    let file = Arc::new(bootllm_model_file::read(&mut source).with_context(context)?);
    Ok(ModelSource { path: path.to_owned(), file, source })
}

fn find(name: &Path) -> Option<PathBuf> {
    let candidate = |folder: &str, ending: &str| {
        let mut path = Path::new(folder).join(name).into_os_string();
        path.push(ending);
        PathBuf::from(path)
    };
    let mut candidates = MODEL_FOLDERS
        .iter()
        .flat_map(|folder| ENDINGS.iter().map(move |ending| candidate(folder, ending)));
    candidates.find(|path| path.is_file())
}

impl ModelSource {
    /// Checks that the model can be run, and plans its memory.
    pub fn plan(&self) -> Result<Arc<Plan>> {
        let plan = Plan::new(self.file.clone());
        plan.map(Arc::new).with_context(|| self.path.display().to_string())
    }

    /// Whether a path names the model's own file.
    pub fn is_at(&self, path: &Path) -> bool {
        match (path.canonicalize(), self.path.canonicalize()) {
            (Ok(path), Ok(own)) => path == own,
            _ => false,
        }
    }

    /// Writes the model in another format, with progress on standard error. Returns the size of the
    /// new file in bytes.
    pub fn convert(
        &mut self,
        format: OutputFormat,
        tokens: Option<&dyn Tokens>,
        output: &Path,
    ) -> Result<u64> {
        // The file would be replaced while it is read.
        if self.is_at(output) {
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

    /// Loads the weights with these cores, with progress on standard error, if there is enough memory.
    pub fn load(&mut self, cores: &dyn Cores, context: Option<usize>) -> Result<Arc<Model>> {
        self.load_for(Cpu::detect(), cores, context, KvFormat::default())
    }

    /// The same, with the instruction sets of `cpu` that pass the self-test, and with memory for keys
    /// and values in the format `kv`.
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

    /// The context: as many positions as wanted, by default as many as the model has.
    pub fn context(&self, plan: &Plan, wanted: Option<usize>) -> Result<usize> {
        let longest = plan.shape().context;
        match wanted.unwrap_or(longest) {
            context if (1..=longest).contains(&context) => Ok(context),
            context => {
                let name = self.path.display();
                bail!("{name}: the context can be 1 to {longest} tokens, not {context}")
            }
        }
    }

    /// The model's tokenizer: the named file, or the vocabulary inside the model, or the file beside
    /// it.
    pub fn tokenizer(&self, named: Option<&Path>) -> Result<Tokenizer> {
        let path = match (named, &self.file.vocabulary) {
            (Some(path), _) => path.to_owned(),
            (None, None) => self.tokenizer_beside()?,
            (None, Some(vocabulary)) => {
                let mut source = FileReader::open(&self.path)?;
                let tokenizer = Tokenizer::from_gguf(vocabulary, &mut source);
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

/// Refuses a model that needs more memory than is available, if the system says how much that is.
pub fn ensure_memory(needed: &Memory) -> Result<()> {
    match memory_available() {
        Some(available) if !needed.fits(available) => bail!(
            "the model needs {} of memory, this machine has {} free; choose a smaller model, a \
             shorter context or a smaller KV cache (--kv)",
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
    Tokenizer::from_file(&mut source, vocab_size).with_context(context)
}
