// SPDX-License-Identifier: GPL-2.0
//! Dumps a process with the ioctls of `/proc/PID/core`. It needs no crates:
//!
//! ```text
//! rustc --edition 2021 dump.rs
//! ./dump PID FILE [registers|stacks|full]
//! ```

use std::{
    env,
    ffi::{c_int, c_ulong},
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    mem::size_of,
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    process::ExitCode,
};

/// `linux/livecore.h`, as far as it is used here.
mod uapi {
    use std::ffi::c_ulong;

    pub const IOC_CONFIG: c_ulong = 0x4c80;
    pub const IOC_START: c_ulong = 0x4c81;
    pub const IOC_INFO: c_ulong = 0x4c83;

    pub const CONTENTS: [&str; 3] = ["registers", "stacks", "full"];
    pub const SET_CONTENTS: u32 = 1 << 1;

    #[repr(C)]
    #[derive(Default)]
    pub struct Config {
        pub size: u32,
        pub set: u32,
        pub mode: u32,
        pub contents: u32,
        pub blocked: u32,
        pub timeout_ms: u32,
        pub stall_ms: u32,
        pub filter_mask: u32,
        pub abort: u32,
        pub hold_max_ms: u32,
    }

    #[repr(C)]
    #[derive(Default)]
    pub struct Info {
        pub size: u32,
        pub state: u32,
        pub error: u32,
        pub mode: u32,
        pub contents: u32,
        pub threads: u32,
        pub parked: u32,
        pub in_place: u32,
        pub running: u32,
        pub zeroed: u32,
        pub caller: u32,
        pub moved: u32,
        pub image_size: u64,
        pub hold_ns: u64,
        pub held_ns: u64,
        pub read_bytes: u64,
        pub hole_bytes: u64,
        pub unreadable_pages: u64,
        pub fallback: u32,
        pub reserved: u32,
    }
}

unsafe extern "C" {
    fn ioctl(fd: c_int, request: c_ulong, ...) -> c_int;
}

fn outcome(result: c_int) -> io::Result<()> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// `/proc/PID/core`, open for a dump.
struct Core(File);

impl Core {
    /// Nothing is held before [`Core::start`].
    fn open(pid: u32) -> io::Result<Self> {
        let path = format!("/proc/{pid}/core");
        Ok(Self(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn configure(&self, mut config: uapi::Config) -> io::Result<()> {
        config.size = size_of::<uapi::Config>() as u32;
        // SAFETY: The structure begins with its size, and is only read.
        outcome(unsafe { ioctl(self.0.as_raw_fd(), uapi::IOC_CONFIG, &raw const config) })
    }

    fn start(&self) -> io::Result<()> {
        // SAFETY: There is no argument, which is said by 0.
        outcome(unsafe { ioctl(self.0.as_raw_fd(), uapi::IOC_START, 0 as c_ulong) })
    }

    fn info(&self) -> io::Result<uapi::Info> {
        let mut info = uapi::Info {
            size: size_of::<uapi::Info>() as u32,
            ..Default::default()
        };
        // SAFETY: The structure begins with its size, and any bytes are valid in it.
        outcome(unsafe { ioctl(self.0.as_raw_fd(), uapi::IOC_INFO, &raw mut info) })?;
        Ok(info)
    }

    /// Copies the image, with a line that tells how far it is.
    fn copy(&mut self, to: &mut impl Write, size: u64) -> io::Result<()> {
        let mut bytes = vec![0; 1 << 20];
        let mut done = 0;
        loop {
            let read = self.0.read(&mut bytes)?;
            if read == 0 {
                eprintln!();
                return Ok(());
            }
            to.write_all(&bytes[..read])?;
            done += read as u64;
            eprint!("\r{} of {} KiB", done >> 10, size >> 10);
        }
    }
}

fn report(info: &uapi::Info) {
    println!(
        "threads: {} (parked {}, in place {}, running {}, zeroed {}, caller {}, moved {})",
        info.threads,
        info.parked,
        info.in_place,
        info.running,
        info.zeroed,
        info.caller,
        info.moved,
    );
    println!(
        "all held after {} us, held for {} us",
        info.hold_ns / 1000,
        info.held_ns / 1000,
    );
    if info.fallback != 0 {
        println!("held until the end: no snapshot, for {:#x}", info.fallback);
    }
    println!(
        "image: {} bytes; read {}, of these {} never touched; {} unreadable pages",
        info.image_size, info.read_bytes, info.hole_bytes, info.unreadable_pages,
    );
}

fn dump(pid: u32, path: &str, contents: u32) -> io::Result<()> {
    let mut core = Core::open(pid)?;
    let mut to = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    // What is not set is as in the sysctls kernel.livecore_*.
    core.configure(uapi::Config {
        set: uapi::SET_CONTENTS,
        contents,
        ..Default::default()
    })?;
    core.start()?;
    core.copy(&mut to, core.info()?.image_size)?;
    report(&core.info()?);
    Ok(())
}

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (pid, path, contents) = match words[..] {
        [pid, path] => (pid, path, "full"),
        [pid, path, contents] => (pid, path, contents),
        _ => ("", "", ""),
    };
    let contents = uapi::CONTENTS.iter().position(|name| *name == contents);
    let (Ok(pid), Some(contents)) = (pid.parse(), contents) else {
        eprintln!("usage: dump PID FILE [registers|stacks|full]");
        return ExitCode::from(2);
    };
    match dump(pid, path, contents as u32) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dump: process {pid}: {error}");
            ExitCode::FAILURE
        }
    }
}
