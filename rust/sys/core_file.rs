// SPDX-License-Identifier: GPL-2.0

//! The file operations of `/proc/<pid>/core`.

use super::{ffi, module::ModuleRef, park::Pollers, task, uapi};
use core::marker::PhantomData;
use kernel::{
    bindings,
    error::{from_err_ptr, to_result},
    fs::{
        file::flags::{O_ACCMODE, O_RDONLY, O_RDWR},
        Kiocb,
    },
    ioctl::_IO,
    iov::IovIterDest,
    mm::Mm,
    prelude::*,
    sync::{aref::ARef, Arc},
    task::Task,
    types::ForeignOwnable,
};

/// One open of `core`.
pub(crate) trait CoreFile: Send + Sync + Sized + 'static {
    /// Process context; the caller's credentials are current.
    fn open(entry: &Entry<'_>, module: &ModuleRef) -> Result<Arc<Self>>;

    /// `LIVECORE_IOC_CONFIG`.
    fn configure(&self, asked: uapi::Config) -> Result;

    /// `LIVECORE_IOC_START`; the caller is the opener.
    fn start(&self) -> Result;

    /// `LIVECORE_IOC_RELEASE`.
    fn let_go(&self) -> Result;

    /// `LIVECORE_IOC_INFO`.
    fn info(&self) -> uapi::Info;

    /// The size of the image, in bytes; 0 while there is none.
    fn size(&self) -> u64;

    /// Reads from `position`, as much as fits; 0 at the end.
    fn read(&self, position: u64, to: &mut IovIterDest<'_>) -> Result<usize>;

    /// The first position from `position` on that is of the wanted kind; `ENXIO` at the end.
    fn seek(&self, position: u64, to: Seek) -> Result<u64>;

    /// Whom to wake when its [`Readiness`] changes.
    fn pollers(&self) -> &Pollers;

    /// What poll(2) is told.
    fn readiness(&self) -> Readiness;

    /// Calls `show` with the size that the entry has, in bytes. In one order for all files.
    fn show_size(&self, show: impl FnOnce(u64));

    /// The last descriptor was closed.
    fn release(&self);
}

/// Whether a read would wait, or fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// There is no image yet.
    Waiting,
    /// There is.
    Readable,
    /// The dump has ended, and a read says why.
    Ended,
}

/// What lseek(2) can look for.
pub(crate) enum Seek {
    /// `SEEK_DATA`.
    Data,
    /// `SEEK_HOLE`; the end of the file is one.
    Hole,
}

/// The entry `core` of a process, as it is being opened.
///
/// # Invariants
///
/// `file` is valid, and its inode is procfs's, with a pid.
pub(crate) struct Entry<'a> {
    file: *mut bindings::file,
    _file: PhantomData<&'a bindings::file>,
}

/// How `core` was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenedFor {
    /// Reading: a dump starts at once.
    Reading,
    /// Reading and writing: to be configured first.
    Configuring,
}

impl Entry<'_> {
    /// `EINVAL` for writing alone.
    pub(crate) fn opened_for(&self) -> Result<OpenedFor> {
        // SAFETY: By the type invariant.
        match unsafe { (*self.file).f_flags & O_ACCMODE } {
            O_RDONLY => Ok(OpenedFor::Reading),
            O_RDWR => Ok(OpenedFor::Configuring),
            _ => Err(EINVAL),
        }
    }

    /// The thread that the entry is of: the leader, but for `/proc/<tid>`; `ESRCH` once it was
    /// reaped.
    pub(crate) fn task(&self) -> Result<ARef<Task>> {
        // SAFETY: By the type invariant; what is returned is NULL or comes with a reference.
        unsafe { task::from_owned(ffi::livecore_proc_task(self.file)) }.ok_or(ESRCH)
    }

    /// The memory of a process of which `task` is a live thread, if the caller may open its
    /// `mem`. Must not be called while anything is held.
    pub(crate) fn mm(&self, task: &Task) -> Result<ARef<Mm>> {
        // SAFETY: By the type invariant; `task` is referenced.
        let mm = from_err_ptr(unsafe { ffi::livecore_proc_mm(self.file, task.as_ptr()) })?;
        let mm = core::ptr::NonNull::new(mm.cast::<Mm>()).ok_or(ESRCH)?;
        // SAFETY: `Mm` is a transparent wrapper; the reference on `mm_count` is ours.
        Ok(unsafe { ARef::from_raw(mm) })
    }
}

/// The operations, for files of type `T`. Without an owner: see `helpers/pident.c`.
pub(crate) fn operations<T: CoreFile>() -> bindings::file_operations {
    bindings::file_operations {
        open: Some(open::<T>),
        release: Some(release::<T>),
        read_iter: Some(read_iter::<T>),
        llseek: Some(llseek::<T>),
        poll: Some(poll::<T>),
        unlocked_ioctl: Some(ioctl::<T>),
        compat_ioctl: bindings::compat_ptr_ioctl,
        splice_read: Some(bindings::copy_splice_read),
        ..Default::default()
    }
}

/// Makes stat and fstat show the size.
///
/// # Safety
///
/// `file` is valid.
unsafe fn show_size<T: CoreFile>(core: &T, file: *mut bindings::file) {
    core.show_size(|size| {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        // SAFETY: The caller vouches for the file.
        unsafe { ffi::livecore_file_set_size(file, size) };
    });
}

/// # Safety
///
/// Called by the VFS alone.
unsafe extern "C" fn open<T: CoreFile>(
    _inode: *mut bindings::inode,
    file: *mut bindings::file,
) -> c_int {
    // First of all, since nothing else keeps the module (`helpers/pident.c`).
    let Some(module) = ModuleRef::try_get() else {
        return ENODEV.to_errno();
    };
    // INVARIANT: The VFS opens a file of the entry, which `proc_pident_instantiate()` made.
    let entry = Entry {
        file,
        _file: PhantomData,
    };
    match T::open(&entry, &module) {
        Ok(core) => {
            // SAFETY: The VFS passes a valid file.
            unsafe { show_size(&*core, file) };
            // SAFETY: The file is being opened: its private data is ours to set.
            unsafe { (*file).private_data = core.into_foreign() };
            module.leave();
            0
        }
        Err(error) => error.to_errno(),
    }
}

/// # Safety
///
/// Called by the VFS alone, once for each successful open.
unsafe extern "C" fn release<T: CoreFile>(
    _inode: *mut bindings::inode,
    file: *mut bindings::file,
) -> c_int {
    // SAFETY: `open()` set it, and this is the last use.
    let core = unsafe { Arc::<T>::from_foreign((*file).private_data) };
    core.release();
    // SAFETY: The VFS passes a valid file.
    unsafe { show_size(&*core, file) };
    drop(core);
    // SAFETY: `open()` left it.
    drop(unsafe { ModuleRef::adopt() });
    0
}

/// # Safety
///
/// Called by the VFS alone, on an open file.
unsafe extern "C" fn read_iter<T: CoreFile>(
    kiocb: *mut bindings::kiocb,
    iter: *mut bindings::iov_iter,
) -> isize {
    // SAFETY: The VFS passes a valid kiocb, and `open()` set the file's private data.
    let mut kiocb = unsafe { Kiocb::<'_, Arc<T>>::from_raw(kiocb) };
    // SAFETY: The VFS passes a valid iterator that is a destination.
    let to = unsafe { IovIterDest::from_raw(iter) };
    let position = kiocb.ki_pos();
    let result = u64::try_from(position)
        .map_err(|_| EINVAL)
        .and_then(|position| kiocb.file().read(position, to));
    match result {
        Ok(read) => {
            *kiocb.ki_pos_mut() = position.saturating_add(read as i64);
            read as isize
        }
        Err(error) => error.to_errno() as isize,
    }
}

/// # Safety
///
/// Called by the VFS alone, on an open file.
unsafe extern "C" fn llseek<T: CoreFile>(
    file: *mut bindings::file,
    offset: bindings::loff_t,
    whence: c_int,
) -> bindings::loff_t {
    // SAFETY: `open()` set it, and the file is open.
    let core = unsafe { Arc::<T>::borrow((*file).private_data) };
    let seek = match u32::try_from(whence) {
        Ok(bindings::SEEK_DATA) => Some(Seek::Data),
        Ok(bindings::SEEK_HOLE) => Some(Seek::Hole),
        _ => None,
    };
    let (offset, whence) = match seek {
        None => (offset, whence),
        Some(to) => {
            let position = u64::try_from(offset).map_err(|_| ENXIO);
            match position.and_then(|position| core.seek(position, to)) {
                Ok(found) => (found as i64, bindings::SEEK_SET as c_int),
                Err(error) => return error.to_errno().into(),
            }
        }
    };
    let end = i64::try_from(core.size()).unwrap_or(i64::MAX);
    // SAFETY: The file is valid; any position that a file may have is allowed.
    unsafe { bindings::generic_file_llseek_size(file, offset, whence, i64::MAX, end) }
}

/// # Safety
///
/// Called by the VFS alone, on an open file.
unsafe extern "C" fn poll<T: CoreFile>(
    file: *mut bindings::file,
    table: *mut bindings::poll_table_struct,
) -> bindings::__poll_t {
    // SAFETY: `open()` set it, and the file is open.
    let core = unsafe { Arc::<T>::borrow((*file).private_data) };
    // SAFETY: From the VFS; the file owns a reference on `core`.
    unsafe { core.pollers().wait(file, table) };
    let readable = bindings::POLLIN | bindings::POLLRDNORM;
    match core.readiness() {
        Readiness::Waiting => 0,
        Readiness::Readable => readable,
        Readiness::Ended => readable | bindings::POLLERR,
    }
}

const IOC_CONFIG: u32 = _IO(uapi::LIVECORE_IOC_TYPE as u32, 0x80);
const IOC_START: u32 = _IO(uapi::LIVECORE_IOC_TYPE as u32, 0x81);
const IOC_RELEASE: u32 = _IO(uapi::LIVECORE_IOC_TYPE as u32, 0x82);
const IOC_INFO: u32 = _IO(uapi::LIVECORE_IOC_TYPE as u32, 0x83);

/// Those without an argument want 0.
fn no_argument(argument: usize) -> Result {
    if argument == 0 {
        Ok(())
    } else {
        Err(EINVAL)
    }
}

/// # Safety
///
/// `file` is valid, and its private data a `T`.
unsafe fn command<T: CoreFile>(file: *mut bindings::file, command: u32, argument: usize) -> Result {
    // SAFETY: `open()` set it, and the file is open.
    let core = unsafe { Arc::<T>::borrow((*file).private_data) };
    let user = argument as *mut c_void;
    match command {
        IOC_CONFIG => {
            let mut asked = uapi::Config::default();
            // SAFETY: `asked` is valid for the write of its size.
            to_result(unsafe {
                ffi::livecore_get_struct(
                    (&raw mut asked).cast(),
                    size_of::<uapi::Config>(),
                    uapi::LIVECORE_CONFIG_SIZE_VER0 as usize,
                    user,
                )
            })?;
            core.configure(asked)
        }
        IOC_START => {
            no_argument(argument)?;
            // SAFETY: The caller vouches for the file.
            if !unsafe { ffi::livecore_file_is_callers(file) } {
                return Err(EPERM);
            }
            core.start()?;
            // SAFETY: The caller vouches for the file.
            unsafe { show_size(&*core, file) };
            Ok(())
        }
        IOC_RELEASE => {
            no_argument(argument)?;
            core.let_go()
        }
        IOC_INFO => {
            let mut info = core.info();
            // SAFETY: `info` is valid for its size, and has no padding.
            to_result(unsafe {
                ffi::livecore_put_struct(
                    user,
                    uapi::LIVECORE_INFO_SIZE_VER0 as usize,
                    (&raw mut info).cast(),
                    size_of::<uapi::Info>(),
                )
            })
        }
        _ => Err(ENOTTY),
    }
}

/// # Safety
///
/// Called by the VFS alone, on an open file.
unsafe extern "C" fn ioctl<T: CoreFile>(
    file: *mut bindings::file,
    number: c_uint,
    argument: c_ulong,
) -> c_long {
    // SAFETY: The VFS passes a valid file, and `open()` set its private data.
    match unsafe { command::<T>(file, number, argument) } {
        Ok(()) => 0,
        Err(error) => error.to_errno() as c_long,
    }
}
