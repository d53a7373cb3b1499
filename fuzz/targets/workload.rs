//! The file of a workload that anybody wrote: what is taken can be driven.

#![no_main]

use ioduel::load::Workload;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &str| {
    let Ok(workload) = Workload::parse(file) else { return };
    let shape = workload.shape();
    assert!(shape.messages() > 0 && workload.connections > 0);
    let _ = (workload.in_words(), workload.beside(), workload.at(Some(1)).in_words());
});
