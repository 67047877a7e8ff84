//! Finding the sockets of monitors: `PID.sock` in a directory that only the user can enter.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, geteuid, test_kill_process};

use crate::arguments::Target;
use crate::socket::Monitor;

/// The monitor of a process.
pub(crate) fn monitor(target: &Target) -> io::Result<Monitor> {
    let process = match target {
        Target::Path(path) => return Ok(Monitor::at(path.clone())),
        Target::Process(process) => *process,
    };
    let path = directory().join(format!("{process}.sock"));
    check_directory(&directory())?;
    if path.exists() {
        return Ok(Monitor::at(path));
    }
    let text = if is_alive(process) {
        format!("process {process} has no monitor: start it with ASYNCIO_MONITOR=1")
    } else {
        format!("there is no process {process}")
    };
    Err(io::Error::new(io::ErrorKind::NotFound, text))
}

/// The processes with a monitor, and their sockets. Removes files that dead processes have left.
pub(crate) fn processes() -> io::Result<Vec<(u32, PathBuf)>> {
    let directory = directory();
    check_directory(&directory)?;
    let entries = match fs::read_dir(&directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let Some(process) = process_of(&path) else { continue };
        if is_stale(&path) {
            // Another call may have removed it.
            let _ = fs::remove_file(&path);
        } else {
            found.push((process, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The process id in the name of a socket.
fn process_of(path: &Path) -> Option<u32> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let name = path.file_name()?.to_str()?.strip_suffix(".sock")?;
    name.parse().ok().filter(|_| is_socket)
}

/// Whether no process listens on a socket any more: it refuses connections, and not only because it
/// is being created. The process id does not tell, since the process may be in another container.
fn is_stale(path: &Path) -> bool {
    let refuses = || {
        UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    };
    refuses() && {
        thread::sleep(Duration::from_millis(50));
        refuses()
    }
}

fn is_alive(process: u32) -> bool {
    let number = i32::try_from(process).ok().and_then(Pid::from_raw);
    // A process that this user may not signal is alive as well.
    number.is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// Where monitors put their sockets: see asyncio-monitor.
fn directory() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty()) {
        Some(given) => Path::new(&given).join("asyncio"),
        None => std::env::temp_dir().join(format!("asyncio-{}", geteuid().as_raw())),
    }
}

/// Files in another user's directory cannot be trusted.
fn check_directory(directory: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    let is_private =
        found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & 0o077 == 0;
    if is_private {
        return Ok(());
    }
    let text = format!("{} is not a directory of the user alone", directory.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
}
