//! Rust's library source from Debian, where rustup's server is out of reach.
//!
//! Debian packages it as `rust-src`, often in another suite than the machine's own. It is fetched
//! by apt with a configuration, a sources list and a state of our own, so that nothing of the
//! system changes; the mirror, the proxy and the keys are the system's. apt checks the suite's
//! signature and through it the package's hash.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// The suites that may hold a Rust newer than the stable one, and where to look first.
const SUITES: [&str; 3] = ["trixie-backports", "forky", "sid"];

/// The keys that Debian signs its suites with, where Debian installs them.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Fetches and unpacks the library source of this Rust version under `folder`.
pub fn library_source(version: &str, folder: &Path) -> Result<PathBuf> {
    let library = folder.join(format!("usr/src/rustc-{version}/library"));
    if library.join("Cargo.lock").is_file() {
        return Ok(library);
    }
    let apt = Apt::new(folder.join("apt"), mirror()?)?;
    for suite in SUITES {
        eprintln!("  looking for rust-src {version} in Debian's {suite}");
        if let Some(package) = apt.find("rust-src", version, suite)? {
            eprintln!("  fetching it (rust-src {package})");
            let file = apt.download("rust-src", &package)?;
            process::run(Command::new("dpkg-deb").arg("-x").arg(&file).arg(folder))?;
            fs::remove_file(&file)?;
            if !library.join("Cargo.lock").is_file() {
                bail!("rust-src {package} holds no {}", library.display());
            }
            return Ok(library);
        }
    }
    bail!(
        "no suite of this Debian mirror holds rust-src {version} (looked in {})",
        SUITES.join(", ")
    )
}

/// The Debian mirror that this machine uses.
fn mirror() -> Result<String> {
    let targets = process::output(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(ORIGIN) $(LABEL) $(REPO_URI)",
        "Created-By: Packages",
    ]))?;
    targets.lines().find_map(|line| line.strip_prefix("Debian Debian ")).map(str::to_owned).context(
        "apt knows no Debian mirror here (if this is Debian: `apt-get update`, then again)",
    )
}

/// apt with a configuration and a state of its own.
struct Apt {
    folder: PathBuf,
    mirror: String,
}

impl Apt {
    fn new(folder: PathBuf, mirror: String) -> Result<Self> {
        for part in ["lists/partial", "archives/partial", "none"] {
            fs::create_dir_all(folder.join(part))?;
        }
        fs::write(folder.join("status"), "")?;
        // How to reach the network is the system's business; its hooks are not run.
        let network = process::output(Command::new("apt-config").args(["dump", "Acquire"]))?;
        let own = |name: &str| folder.join(name).display().to_string();
        let settings = [
            ("Dir::Etc::Main", own("none/main")),
            ("Dir::Etc::Parts", own("none")),
            ("Dir::Etc::SourceList", own("sources.list")),
            ("Dir::Etc::SourceParts", own("none")),
            ("Dir::Etc::Preferences", own("none/preferences")),
            ("Dir::Etc::PreferencesParts", own("none")),
            ("Dir::State::Lists", own("lists")),
            ("Dir::State::Status", own("status")),
            ("Dir::Cache", own("cache")),
            ("Dir::Cache::Archives", own("archives")),
            ("Acquire::Languages", "none".to_owned()),
            // As root apt would hand the download to a user that may not write here.
            ("APT::Sandbox::User", String::new()),
        ];
        let mut text = network;
        for (name, value) in settings {
            text.push_str(&format!("\n{name} \"{value}\";"));
        }
        text.push('\n');
        fs::write(folder.join("apt.conf"), text)?;
        Ok(Self { folder, mirror })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", self.folder.join("apt.conf"));
        // What it says is looked at.
        command.env("LC_ALL", "C");
        command.current_dir(&self.folder);
        command
    }

    /// The package version in a suite that packages this upstream version.
    fn find(&self, package: &str, version: &str, suite: &str) -> Result<Option<String>> {
        let source = format!("deb [signed-by={KEYRING}] {} {suite} main\n", self.mirror);
        fs::write(self.folder.join("sources.list"), source)?;
        let update = self
            .command("apt-get")
            .args(["--quiet", "update"])
            .output()
            .context("cannot start `apt-get update`")?;
        let said = String::from_utf8_lossy(&update.stdout).into_owned()
            + &String::from_utf8_lossy(&update.stderr);
        if said.contains("NO_PUBKEY") || said.contains("is not signed") {
            bail!(
                "the keys in {KEYRING} cannot check the signature of Debian's {suite}; install a \
                 newer debian-archive-keyring, then try again. apt said:\n{said}"
            );
        }
        // A suite that the mirror does not have leaves no index, so nothing is found in it. That is
        // no error to apt, nor is a mirror that cannot be reached.
        if let Some(line) = said.lines().find(|line| line.contains("Failed to fetch")) {
            eprintln!("  apt: {line}");
        }
        let found = process::output(self.command("apt-cache").args(["madison", package]))?;
        let wanted = format!("{version}+");
        Ok(found
            .lines()
            .filter_map(|line| line.split('|').nth(1).map(str::trim))
            .find(|found| *found == version || found.starts_with(&wanted))
            .map(str::to_owned))
    }

    /// Downloads a package; apt has checked its hash when it is there.
    fn download(&self, package: &str, version: &str) -> Result<PathBuf> {
        process::run(self.command("apt-get").args([
            "--quiet",
            "download",
            &format!("{package}={version}"),
        ]))?;
        self.folder
            .read_dir()?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .with_context(|| format!("`apt-get download {package}` left no package"))
    }
}
