//! The real binary as a child process that ends with its test.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How much of a child's log a failing test shows.
const SHOWN_LINES: usize = 60;

pub struct Odometer {
    child: Child,
    name: String,
    log: PathBuf,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ended {
    /// `None`: ended by a signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_odometer"));
    // The caller's environment must not configure what a test starts.
    for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("ODOMETER_")) {
        command.env_remove(key);
    }
    command.env("RUST_BACKTRACE", "1").stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub fn run(folder: &Path, arguments: &[&str]) -> Ended {
    run_with(folder, arguments, &[])
}

/// Runs a command to its end with more environment variables.
pub fn run_with(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
    let mut command = binary();
    command.current_dir(folder).args(arguments).envs(environment.iter().copied());
    let output = command.output().expect("start odometer");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs a command to its end whose standard error nobody reads: writing there fails. Answers with its exit
/// code.
pub fn run_unread(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Option<i32> {
    let (reader, writer) = std::io::pipe().expect("make a pipe");
    drop(reader);
    let mut command = binary();
    command.current_dir(folder).args(arguments).envs(environment.iter().copied());
    command.stdout(Stdio::null()).stderr(writer);
    command.status().expect("start odometer").code()
}

impl Ended {
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "odometer's exit code\n--- its standard output:\n{}\n--- its standard error:\n{}",
            tail(&self.stdout),
            tail(&self.stderr)
        );
        self
    }
}

impl Odometer {
    /// `name` tells one process of a test from another, in messages and as its log's name.
    pub fn start(folder: &Path, name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = binary();
        command.args(arguments).envs(environment.iter().copied());
        Self::spawn(folder, name, command)
    }

    /// Starts it where its folder `cache` is a disk of so many KiB that becomes a large one as soon as
    /// there is a file `room` beside it. `None`: the system lets nobody mount anything.
    pub fn start_on_small_disk(folder: &Path, name: &str, arguments: &[&str], kib: u32) -> Option<Self> {
        let unshare = ["-m", "-rm"].into_iter().find(|flags| {
            let tried =
                Command::new("unshare").args([flags, "mount", "-t", "tmpfs", "none", "/mnt"]).output();
            tried.is_ok_and(|output| output.status.success())
        })?;
        let odometer = binary();
        let script = format!(
            "mount -t tmpfs -o size={kib}k none cache || exit 1
            {{ until [ -e room ]; do sleep 0.1; done; mount -o remount,size=256m cache; }} &
            exec \"$@\""
        );
        let mut command = Command::new("unshare");
        // The environment is the child's without what `binary` takes away.
        for (key, value) in odometer.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        command.args([unshare, "sh", "-c", &script, "sh"]).arg(odometer.get_program()).args(arguments);
        command.stdin(Stdio::null());
        fs::create_dir_all(folder.join("cache")).expect("make a folder");
        Some(Self::spawn(folder, name, command))
    }

    /// Starts it so that none of its files grows beyond so many KiB, as on a full disk, until
    /// [`Self::let_files_grow`]. The system lets everybody do that.
    pub fn start_with_small_files(
        folder: &Path,
        name: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
        kib: u32,
    ) -> Self {
        let mut command = binary();
        command.args(arguments).envs(environment.iter().copied());
        let limit = libc::rlimit { rlim_cur: u64::from(kib) * 1024, rlim_max: libc::RLIM_INFINITY };
        let restrict = move || {
            // SAFETY: both calls are safe between fork and exec, and `limit` is the closure's own. What is
            // ignored stays so in the program: a write beyond the limit fails instead of ending it.
            let result = unsafe {
                libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
                libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit)
            };
            if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        };
        // SAFETY: the closure calls nothing but the two functions above.
        unsafe { command.pre_exec(restrict) };
        Self::spawn(folder, name, command)
    }

    /// Its files may grow from now on.
    pub fn let_files_grow(&self) {
        let pid = libc::pid_t::try_from(self.child.id()).expect("a process id");
        let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: prlimit() reads `limit`, which outlives the call, and writes nothing.
        let result =
            unsafe { libc::prlimit(pid, libc::RLIMIT_FSIZE, &raw const limit, std::ptr::null_mut()) };
        assert_eq!(result, 0, "raise {}'s limit: {}", self.name, std::io::Error::last_os_error());
    }

    fn spawn(folder: &Path, name: &str, mut command: Command) -> Self {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).expect("create a log file");
        let child = command
            .current_dir(folder)
            .stdout(file.try_clone().expect("share the log file"))
            .stderr(file)
            .spawn()
            .expect("start odometer");
        Self { child, name: name.to_owned(), log }
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.assert_runs();
        self.child.kill().expect("kill odometer");
        self.child.wait().expect("wait for odometer");
    }

    /// SIGTERM, then the end: exit code 0 within `patience`.
    #[track_caller]
    pub fn stop(mut self, patience: Duration) {
        self.assert_runs();
        self.signal(libc::SIGTERM);
        let status = self.wait(patience);
        assert_eq!(status.code(), Some(0), "{} after SIGTERM; {}", self.name, self.log_tail());
    }

    /// Stops all of its threads in their tracks, as a machine that swaps or a paused VM does.
    pub fn pause(&self) {
        self.signal(libc::SIGSTOP);
    }

    pub fn wake(&self) {
        self.signal(libc::SIGCONT);
    }

    /// Bytes of memory that it occupies now.
    pub fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {path}: {error}"));
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process that runs");
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of KiB");
        kibibytes * 1024
    }

    #[track_caller]
    pub fn assert_runs(&mut self) {
        let status = self.child.try_wait().expect("ask for a child's status");
        assert!(status.is_none(), "{} has ended: {status:?}; {}", self.name, self.log_tail());
    }

    pub fn log_tail(&self) -> String {
        let log = fs::read(&self.log).expect("read a log file");
        format!("the end of its log:\n{}", tail(&String::from_utf8_lossy(&log)))
    }

    #[track_caller]
    fn wait(&mut self, patience: Duration) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("ask for a child's status") {
                return status;
            }
            let late = started.elapsed() > patience;
            assert!(!late, "{} has not ended within {patience:?}; {}", self.name, self.log_tail());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn signal(&self, signal: libc::c_int) {
        let pid = libc::pid_t::try_from(self.child.id()).expect("a process id");
        // SAFETY: kill() touches no memory; the child is not yet waited for, so the id is its own.
        let result = unsafe { libc::kill(pid, signal) };
        assert_eq!(result, 0, "signal {} with {signal}: {}", self.name, std::io::Error::last_os_error());
    }
}

impl Drop for Odometer {
    fn drop(&mut self) {
        // Both fail where it has ended already, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}: {}", self.name, self.log_tail());
        }
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}
