//! Counting what is allocated.

#![expect(unsafe_code, reason = "an allocator can be written in no other way; it only counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The system's allocator, and how many bytes of it are in use.
pub(crate) struct Counted;

#[global_allocator]
static COUNTED: Counted = Counted;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

/// Bytes in use now, by the whole process.
pub(crate) fn in_use() -> usize {
    IN_USE.load(Relaxed)
}

// SAFETY: each call is handed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Relaxed);
        // SAFETY: as our caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as our caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}
