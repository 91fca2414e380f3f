//! What comes from Debian: Rust's library source, where rustup's server is out of reach, and the
//! kernel that a token is compared with.
//!
//! Debian packages the source as `rust-src`, often in another suite than the machine's own. It is
//! fetched by apt with a configuration, a sources list and a state of our own, so that nothing of
//! the system changes; the mirror, the proxy and the keys are the system's. apt checks the suite's
//! signature and through it the package's hash.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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

/// The package that stands for Debian's newest kernel.
const KERNEL: &str = "linux-image-amd64";

/// Debian's kernel, unpacked in `folder`; fetched if it is not there. Nothing is installed.
pub fn kernel(folder: &Path) -> Result<PathBuf> {
    let boot = folder.join("boot");
    if let Some(kernel) = first_with(&boot, |name| name.starts_with("vmlinuz-")) {
        return Ok(kernel);
    }
    let described =
        process::output(Command::new("apt-cache").args(["show", "--no-all-versions", KERNEL]))
            .with_context(|| format!("apt knows no {KERNEL} (try `apt-get update`)"))?;
    let package = depends_on(&described)
        .with_context(|| format!("{KERNEL} does not say which package holds the kernel"))?;
    eprintln!("  fetching Debian's kernel ({package}, some 70 MB)");
    fs::create_dir_all(folder)?;
    // As root apt would hand the download to a user that may not write here.
    let download = ["--quiet", "-oAPT::Sandbox::User=", "download", package];
    process::run(Command::new("apt-get").current_dir(folder).args(download))?;
    let file = first_with(folder, |name| name.ends_with(".deb"))
        .with_context(|| format!("`apt-get download {package}` left no package"))?;
    // The modules are ten times as large as the kernel, and not needed.
    let mut unpacked = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(&file)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start `dpkg-deb`")?;
    let archive = unpacked.stdout.take().context("dpkg-deb has no standard output")?;
    let mut tar = Command::new("tar");
    tar.arg("--directory").arg(folder).args(["--extract", "--wildcards", "./boot/vmlinuz-*"]);
    process::run(tar.stdin(archive))?;
    unpacked.wait()?;
    fs::remove_file(&file)?;
    first_with(&boot, |name| name.starts_with("vmlinuz-"))
        .with_context(|| format!("{package} holds no kernel"))
}

/// The first package that a package depends on, in the words of apt.
fn depends_on(described: &str) -> Option<&str> {
    let depends = described.lines().find_map(|line| line.strip_prefix("Depends: "))?;
    depends.split([' ', ',', '|']).next().filter(|package| !package.is_empty())
}

/// The first file of a folder with such a name.
fn first_with(folder: &Path, name: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let mut files: Vec<_> = folder.read_dir().ok()?.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.into_iter().find(|file| file.file_name().is_some_and(|own| name(&own.to_string_lossy())))
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
        first_with(&self.folder, |name| name.ends_with(".deb"))
            .with_context(|| format!("`apt-get download {package}` left no package"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_what_its_package_depends_on() {
        let described =
            "Package: linux-image-amd64\nDepends: linux-image-6.1.0-48-amd64 (= 6.1.172-1)\n";
        assert_eq!(depends_on(described), Some("linux-image-6.1.0-48-amd64"));
        assert_eq!(depends_on("Depends: a, b | c\n"), Some("a"));
        assert_eq!(depends_on("Package: a\n"), None);
        assert_eq!(depends_on("Depends: \n"), None);
    }
}
