//! Downloads from Debian: Rust's library source, if rustup's server cannot be reached, and the kernel
//! that bare metal is compared with.
//!
//! Debian packages the source as `rust-src`, often in another suite than the host's. apt downloads it
//! with a configuration, a sources list and a state of the project, so that nothing of the system
//! changes; the mirror, the proxy and the keys are the system's. apt checks the suite's signature,
//! and with it the package's hash.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process;

/// The suites that may have a newer Rust than Debian stable, the likeliest first.
const SUITES: [&str; 3] = ["trixie-backports", "forky", "sid"];

/// The file of the keys that Debian signs its suites with.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Downloads and unpacks the library source of this Rust version under `folder`.
pub fn library_source(version: &str, folder: &Path) -> Result<PathBuf> {
    let library = folder.join(format!("usr/src/rustc-{version}/library"));
    if library.join("Cargo.lock").is_file() {
        return Ok(library);
    }
    let apt = Apt::new(folder.join("apt"), mirror()?)?;
    for suite in SUITES {
        eprintln!("  looking for rust-src {version} in Debian's {suite}");
        if let Some(package) = apt.find("rust-src", version, suite)? {
            eprintln!("  downloading it (rust-src {package})");
            let file = apt.download("rust-src", &package)?;
            process::run(Command::new("dpkg-deb").arg("-x").arg(&file).arg(folder))?;
            fs::remove_file(&file)?;
            if !library.join("Cargo.lock").is_file() {
                bail!("rust-src {package} contains no {}", library.display());
            }
            return Ok(library);
        }
    }
    bail!("no suite of this Debian mirror has rust-src {version} (looked in {})", SUITES.join(", "))
}

/// The package that depends on Debian's newest kernel.
const KERNEL: &str = "linux-image-amd64";

/// Debian's kernel, unpacked in `folder`, and downloaded if it is not there. Nothing is installed.
pub fn kernel(folder: &Path) -> Result<PathBuf> {
    let boot = folder.join("boot");
    if let Some(kernel) = first_with(&boot, |name| name.starts_with("vmlinuz-")) {
        return Ok(kernel);
    }
    let described =
        process::output(Command::new("apt-cache").args(["show", "--no-all-versions", KERNEL]))
            .with_context(|| format!("apt finds no {KERNEL} (try `apt-get update`)"))?;
    let package = depends_on(&described)
        .with_context(|| format!("{KERNEL} does not name the package of the kernel"))?;
    eprintln!("  downloading Debian's kernel ({package}, about 70 MB)");
    fs::create_dir_all(folder)?;
    // As root, apt would download as a user that may not write here.
    let download = ["--quiet", "-oAPT::Sandbox::User=", "download", package];
    process::run(Command::new("apt-get").current_dir(folder).args(download))?;
    let file = first_with(folder, |name| name.ends_with(".deb"))
        .with_context(|| format!("`apt-get download {package}` left no package"))?;
    // Only the kernel: its modules are ten times as large, and not needed.
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
        .with_context(|| format!("{package} contains no kernel"))
}

/// The first dependency in a package's description.
fn depends_on(described: &str) -> Option<&str> {
    let depends = described.lines().find_map(|line| line.strip_prefix("Depends: "))?;
    depends.split([' ', ',', '|']).next().filter(|package| !package.is_empty())
}

/// The first file in a directory whose name fits.
fn first_with(folder: &Path, name: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let mut files: Vec<_> = folder.read_dir().ok()?.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.into_iter().find(|file| file.file_name().is_some_and(|own| name(&own.to_string_lossy())))
}

/// The Debian mirror that the host uses.
fn mirror() -> Result<String> {
    let targets = process::output(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(ORIGIN) $(LABEL) $(REPO_URI)",
        "Created-By: Packages",
    ]))?;
    targets.lines().find_map(|line| line.strip_prefix("Debian Debian ")).map(str::to_owned).context(
        "apt has no Debian mirror here (if this is Debian: run `apt-get update`, then try again)",
    )
}

/// apt with the configuration and state of the project.
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
        // The system's network settings, without its hooks.
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
            // As root, apt would download as a user that may not write here.
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
        // Its messages are parsed.
        command.env("LC_ALL", "C");
        command.current_dir(&self.folder);
        command
    }

    /// The version of a package in a suite, if it packages this upstream version.
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
        // A suite that the mirror does not have leaves no index, so nothing is found in it. To apt
        // neither that nor a mirror that cannot be reached is an error.
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

    /// Downloads a package. apt checks its hash.
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
