//! The memory of the modules that a program consists of: itself, and the libraries that it has
//! loaded.

use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::slice;

/// A module, while the system goes over all of them: until then it is not taken away.
pub(in crate::watchdog) struct Module<'a> {
    base: usize,
    headers: &'a [libc::Elf64_Phdr],
}

impl<'a> Module<'a> {
    fn ranges(&self, kind: u32) -> impl Iterator<Item = (&'a libc::Elf64_Phdr, Range<usize>)> {
        let base = self.base;
        self.headers.iter().filter(move |header| header.p_type == kind).map(move |header| {
            let start = base.wrapping_add(header.p_vaddr as usize);
            (header, start..start.wrapping_add(header.p_memsz as usize))
        })
    }

    fn holds(&self, address: usize) -> bool {
        self.ranges(libc::PT_LOAD).any(|(_, range)| range.contains(&address))
    }

    /// The table of frames for exceptions, and where it is.
    pub(in crate::watchdog) fn table(&self) -> Option<(usize, &'a [u8])> {
        let (_, range) = self.ranges(libc::PT_GNU_EH_FRAME).next()?;
        let bytes = self.from(range.start)?;
        Some((range.start, bytes.get(..range.len())?))
    }

    /// What is in memory from this address to the end of its segment.
    pub(in crate::watchdog) fn from(&self, address: usize) -> Option<&'a [u8]> {
        let mut segments = self.ranges(libc::PT_LOAD);
        let (_, segment) = segments.find(|(header, range)| {
            // No code writes there.
            header.p_flags & (libc::PF_R | libc::PF_W) == libc::PF_R && range.contains(&address)
        })?;
        // SAFETY: within a segment of the module, which is mapped to be read and not to be written,
        // and stays for `'a`.
        Some(unsafe { slice::from_raw_parts(address as *const u8, segment.end - address) })
    }
}

/// Calls `f` with the module that has this address.
pub(in crate::watchdog) fn with_module<R>(
    address: usize,
    f: impl Fn(&Module<'_>) -> Option<R>,
) -> Option<R> {
    let mut result = None;
    let mut search = Search { address, found: &mut |module| result = f(module) };
    // SAFETY: the function gets the pointer that is passed here, which is valid for the call.
    unsafe { libc::dl_iterate_phdr(Some(each), (&raw mut search).cast()) };
    result
}

struct Search<'f> {
    address: usize,
    found: &'f mut dyn FnMut(&Module<'_>),
}

/// Called for each module.
unsafe extern "C" fn each(info: *mut libc::dl_phdr_info, _: usize, search: *mut c_void) -> c_int {
    // SAFETY: `with_module` passes a `Search`.
    let search = unsafe { &mut *search.cast::<Search<'_>>() };
    // SAFETY: the system passes a description of a module.
    let info = unsafe { &*info };
    // SAFETY: it says where the module's headers are, and how many.
    let headers = unsafe { slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    let module = Module { base: info.dlpi_addr as usize, headers };
    if !module.holds(search.address) {
        return 0;
    }
    (search.found)(&module);
    1
}
