//! The limits, user and group of a process: the options that it applies to itself when it starts.

use std::io::{self, ErrorKind};
use std::os::unix::process::ExitStatusExt;

use asyncio_process::{Command, Resource, Stdio};
use asyncio_task::run;
use rustix::process::{Pid, geteuid, getpgid, getpgrp, getrlimit, getsid};

/// The output of a shell that runs `line` with these options.
fn shell(line: &str, options: impl FnOnce(Command) -> Command) -> io::Result<String> {
    let command = options(Command::shell(line)).stdin(Stdio::null()).stdout(Stdio::piped());
    let output = run(command.output())?;
    assert!(output.status.success(), "{:?}", output.status);
    Ok(String::from_utf8(output.stdout).unwrap())
}

fn sleeper() -> Command {
    Command::new("sleep").arg("1000")
}

fn raw_pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

#[test]
fn every_resource_can_be_limited() {
    // Each resource with the letter and the units of the shell's `ulimit`.
    let limits = [
        (Resource::AddressSpace, "v", 1 << 30, "1048576"),
        (Resource::CoreDump, "c", 0, "0"),
        (Resource::CpuTime, "t", 77, "77"),
        (Resource::Data, "d", 1 << 29, "524288"),
        (Resource::FileSize, "f", 1 << 20, "2048"),
        (Resource::LockedMemory, "l", 4096, "4"),
        (Resource::OpenFiles, "n", 30, "30"),
        (Resource::Stack, "s", 1 << 21, "2048"),
    ];
    for (resource, letter, limit, shown) in limits {
        let line = format!("ulimit -S{letter}; ulimit -H{letter}");
        let output = shell(&line, |command| command.resource_limit(resource, limit)).unwrap();
        assert_eq!(output, format!("{shown}\n{shown}\n"), "{resource:?}");
    }
    // A limit below the present use would fail, and one above ours may need a privilege.
    let limit =
        getrlimit(rustix::process::Resource::Nproc).maximum.map_or(9999, |ours| ours.min(9999));
    let line = "exec grep processes /proc/self/limits";
    let output = shell(line, |command| command.resource_limit(Resource::Processes, limit)).unwrap();
    let words: Vec<_> = output.split_whitespace().collect();
    let shown = limit.to_string();
    assert_eq!(words, ["Max", "processes", &shown, &shown, "processes"]);
}

#[test]
fn a_soft_limit_leaves_the_hard_one_as_it_is() {
    let hard = shell("ulimit -Hn", |command| command).unwrap();
    let line = "ulimit -Sn; ulimit -Hn; ulimit -Sn 41; ulimit -Sn";
    let soft = |command: Command| command.soft_resource_limit(Resource::OpenFiles, 40);
    assert_eq!(shell(line, soft).unwrap(), format!("40\n{hard}41\n"));
}

#[test]
fn of_two_limits_the_later_counts_and_the_largest_number_is_none() {
    let two = |command: Command| {
        let command = command.resource_limit(Resource::CpuTime, 9);
        command.soft_resource_limit(Resource::CpuTime, 8)
    };
    assert_eq!(shell("ulimit -St; ulimit -Ht", two).unwrap(), "8\n9\n");
    let none = |command: Command| command.soft_resource_limit(Resource::CpuTime, u64::MAX);
    assert_eq!(shell("ulimit -St", none).unwrap(), "unlimited\n");
}

#[test]
fn limits_are_enforced() {
    run(async {
        let write = Command::shell("exec head -c 5000 /dev/zero > \"$0\"");
        let path = std::env::temp_dir().join(format!("asyncio-limits-{}", std::process::id()));
        let write = write.arg(&path).resource_limit(Resource::FileSize, 4096);
        let write = write.stderr(Stdio::null());
        // The process is killed by SIGXFSZ, or gets an error if that signal is ignored.
        assert!(!write.await?.wait().await.success());
        assert_eq!(std::fs::metadata(&path)?.len(), 4096);
        std::fs::remove_file(path)?;

        let busy = Command::shell("while :; do :; done");
        let status = busy.resource_limit(Resource::CpuTime, 0).await?.wait().await;
        assert_eq!(status.signal(), Some(9));
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn a_limit_that_the_system_refuses_is_an_error_of_the_start() {
    let soft_above_hard = |command: Command| {
        let command = command.resource_limit(Resource::OpenFiles, 30);
        command.soft_resource_limit(Resource::OpenFiles, 31)
    };
    assert_eq!(shell("", soft_above_hard).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(shell("", |command| command).is_ok(), "the parent's limits are unchanged");
}

#[test]
fn the_umask_is_that_of_the_child() {
    let before = shell("umask", |command| command).unwrap();
    assert_eq!(shell("umask", |command| command.umask(0o124)).unwrap(), "0124\n");
    assert_eq!(shell("umask", |command| command).unwrap(), before);
}

#[test]
fn another_user_keeps_nothing_of_the_superusers() {
    let line = "id -u; id -g; id -G; ulimit -Hn";
    let another = |command: Command| {
        // The limit is set before the user is changed, since that user may not be allowed to set
        // it.
        command.uid(65534).gid(65533).resource_limit(Resource::OpenFiles, 70)
    };
    if !geteuid().is_root() {
        assert_eq!(shell(line, another).unwrap_err().kind(), ErrorKind::PermissionDenied);
        return;
    }
    assert_eq!(shell(line, another).unwrap(), "65534\n65533\n65533\n70\n");
    let with_groups = |command: Command| another(command).groups([7, 5]);
    assert_eq!(shell(line, with_groups).unwrap(), "65534\n65533\n65533 5 7\n70\n");
    let groups_alone = |command: Command| command.groups([]);
    assert_eq!(shell("id -u; id -G", groups_alone).unwrap(), "0\n0\n");
}

#[test]
fn a_session_of_its_own_has_a_group_of_its_own() {
    run(async {
        let process = sleeper().process_group(0).new_session(true).await?;
        let pid = raw_pid(process.id());
        assert_eq!((getsid(Some(pid))?, getpgid(Some(pid))?), (pid, pid));
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn a_group_that_is_killed_is_one_of_its_own_whatever_else_is_said() {
    let options: [fn(Command) -> Command; 3] = [
        |command| command.kill_group(true).process_group(getpgrp().as_raw_nonzero().get()),
        |command| command.process_group(0).kill_group(true),
        |command| command.kill_group(true).new_session(true),
    ];
    for options in options {
        run(async move {
            let command = options(Command::shell("sleep 1000 & echo started; wait"));
            let mut process = command.stdout(Stdio::piped()).await?;
            let mut stdout = process.take_stdout().unwrap();
            assert_eq!(stdout.read_line().await?, "started\n");
            drop(process);
            assert_eq!(stdout.read_to_end().await?, "");
            io::Result::Ok(())
        })
        .unwrap();
    }
}

/// Set in the parent process that [`a_child_can_be_told_not_to_outlive_its_parent`] kills.
#[cfg(target_os = "linux")]
const PARENT: &str = "ASYNCIO_TEST_PARENT";

#[cfg(target_os = "linux")]
#[test]
fn a_child_can_be_told_not_to_outlive_its_parent() {
    use asyncio_loop::Signal;
    use asyncio_task::timeout;
    use std::time::Duration;

    if std::env::var_os(PARENT).is_some() {
        return run(async {
            let child = sleeper().parent_death_signal(Signal::KILL).await.unwrap();
            eprintln!("started");
            child.wait().await;
        });
    }
    run(async {
        let this = Command::new(std::env::current_exe()?).env(PARENT, "1");
        let name = "a_child_can_be_told_not_to_outlive_its_parent";
        let parent = this.args(["--exact", name, "--nocapture"]).stdout(Stdio::null());
        let mut parent = parent.stderr(Stdio::piped()).await?;
        let mut stderr = parent.take_stderr().unwrap();
        assert_eq!(stderr.read_line().await?, "started\n");
        parent.kill()?;
        // The child holds the stream, too, so its end shows that both processes have ended.
        let rest = timeout(Duration::from_secs(600), stderr.read_to_end()).await;
        assert_eq!(rest.expect("the child lives on")?, "");
        io::Result::Ok(())
    })
    .unwrap();
}
