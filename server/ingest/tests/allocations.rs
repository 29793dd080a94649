//! Lines of shapes seen before cost no allocation of their own.
// A counting allocator can't be written without `unsafe`: every method only counts and hands on to the system's.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt::Write;

use ochre_batch::NoColumns;
use ochre_ingest::line_protocol::{Options, Parsed, parse};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    // A thread that is ending has no counter any more; nobody asks for its count.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn counted(body: &str) -> (Parsed, usize) {
    let before = ALLOCATIONS.get();
    let parsed = parse(body.as_bytes(), &NoColumns, &Options::default());
    (parsed, ALLOCATIONS.get() - before)
}

#[test]
fn the_counter_counts() {
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}

#[test]
fn stable_shapes_cost_no_allocation_per_line() {
    let mut body = String::new();
    for line in 0..10_000_i64 {
        // Escapes in names, values and strings: the scratch memory is used again.
        writeln!(
            body,
            "disk\\ io,host=server\\ {:02},re\\=gion=eu reads={line}i,share={}.25,ok=t,note=\"line \\\"{line}\\\"\" {line}",
            line % 100,
            line % 7,
        )
        .unwrap();
    }
    let (parsed, allocations) = counted(&body);
    assert_eq!((parsed.lines, parsed.rejected_total), (10_000, 0));
    assert!(allocations < 500, "{allocations} allocations for 10,000 lines");
}

#[test]
fn interleaved_tables_cost_no_allocation_per_line() {
    let mut body = String::new();
    for line in 0..10_000 {
        writeln!(body, "t{},host=h{} a=1,b=2i,c=\"x\" {line}", line % 10, line % 13).unwrap();
    }
    let (parsed, allocations) = counted(&body);
    assert_eq!((parsed.lines, parsed.batch.tables().len()), (10_000, 10));
    // Ten tables of five columns each, whose memory doubles some ten times.
    assert!(allocations < 1_500, "{allocations} allocations for 10,000 lines of 10 tables");
}
