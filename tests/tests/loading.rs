//! Loading on several cores: the same model, the same errors, and only one core that reads.

use bootllm_cores::{Cores, OneCore};
use bootllm_engine::{LoadError, Loading, Model, Plan, Session};
use bootllm_host::Threads;
use bootllm_model_file::{Config, RowError, Version};
use bootllm_platform::{ReadAt, StorageError};
use bootllm_quant::Encoding;
use bootllm_tests::{SmallModel, formats, plan};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::Duration;

/// Numbers of threads, more than this machine may have cores.
const THREADS: [usize; 4] = [1, 2, 3, 4];

/// A model whose larger matrices are read in several pieces, the last of which is not whole panels.
fn model() -> SmallModel {
    let small = SmallModel::untied_embeddings();
    SmallModel {
        config: Config { dim: 64, hidden_dim: 100, vocab_size: 33_003, ..small.config },
        ..small
    }
}

/// A file that only one thread may read. It can be slow and can fail at a byte.
struct Disk<'a> {
    bytes: &'a [u8],
    reader: ThreadId,
    bad: Option<u64>,
    delay: Duration,
    reads: usize,
}

impl<'a> Disk<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let reader = thread::current().id();
        Disk { bytes, reader, bad: None, delay: Duration::ZERO, reads: 0 }
    }
}

impl ReadAt for Disk<'_> {
    fn size(&self) -> u64 {
        self.bytes.size()
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        assert_eq!(thread::current().id(), self.reader, "firmware reads on the boot core only");
        self.reads += 1;
        thread::sleep(self.delay);
        match self.bad {
            Some(bad) if (offset..offset + buffer.len() as u64).contains(&bad) => {
                Err(StorageError::Device { offset: bad, reason: "a bad spot".into() })
            }
            _ => self.bytes.read_at(offset, buffer),
        }
    }
}

fn on_threads(test: impl Fn(&dyn Cores)) {
    test(&OneCore);
    for count in THREADS {
        let threads = Threads::start(count).unwrap();
        test(threads.cores());
    }
}

fn load(cores: &dyn Cores, plan: &Arc<Plan>, disk: &mut Disk<'_>) -> Result<Arc<Model>, LoadError> {
    Model::load(plan, disk, cores, usize::MAX, &mut |_| ControlFlow::Continue(()))
}

/// The bits of some logits.
fn logits(model: &Arc<Model>) -> Vec<u32> {
    let mut session = Session::new(model, &OneCore).unwrap();
    session.prefill(&[1, 33_002, 31, 32, 9_999]).unwrap();
    session.decode(33).unwrap().iter().map(|logit| logit.to_bits()).collect()
}

#[test]
fn any_number_of_threads_loads_the_same_model() {
    let model = model();
    for format in formats(&model.config) {
        let bytes = model.file(format);
        let plan = plan(&bytes);
        let file = plan.file();
        let expected = logits(&load(&OneCore, &plan, &mut Disk::new(&bytes)).unwrap());
        on_threads(|cores| {
            for delay in [0, 200] {
                let delay = Duration::from_micros(delay);
                let mut disk = Disk { delay, ..Disk::new(&bytes) };
                let loaded = load(cores, &plan, &mut disk).unwrap();
                assert!(logits(&loaded) == expected, "{format}, {} cores", cores.count());
                assert!(disk.reads > file.tensors().len(), "there are several pieces");
            }
        });
    }
}

#[test]
fn a_bad_spot_anywhere_is_told_from_any_number_of_threads() {
    let bytes = model().file(Encoding::F32);
    let plan = plan(&bytes);
    let file = plan.file();
    let ends = |tensor: &bootllm_model_file::Tensor| {
        let start = tensor.planes[0].offset;
        [start, start + tensor.bytes() / 2, start + tensor.bytes() - 1]
    };
    on_threads(|cores| {
        for bad in file.tensors().iter().flat_map(ends) {
            let mut disk = Disk { bad: Some(bad), ..Disk::new(&bytes) };
            match load(cores, &plan, &mut disk).map(drop) {
                Err(LoadError::Rows(RowError::Storage(StorageError::Device {
                    offset, ..
                }))) => {
                    assert_eq!(offset, bad);
                }
                other => panic!("{other:?}"),
            }
        }
    });
}

/// The first error in the file is reported, whichever core finds one first, even if the disk fails
/// after it.
#[test]
fn the_first_number_that_is_none_is_named_by_any_number_of_threads() {
    let mut bytes = model().file(Version::V1);
    let plan = plan(&bytes);
    let file = plan.file();
    let output = file.tensor("output.weight").unwrap().clone();
    let [row_bytes, _] = output.row_bytes();
    let place = |row: u64, column: u64| output.planes[0].offset + row * row_bytes + 4 * column;
    for (row, column, value) in
        [(7_000, 3, f32::NAN), (6_999, 63, f32::NEG_INFINITY), (9_000, 0, f32::INFINITY)]
    {
        bytes[place(row, column) as usize..][..4].copy_from_slice(&value.to_le_bytes());
    }
    let expected = LoadError::Rows(RowError::NotFinite {
        tensor: "output.weight".into(),
        row: 6_999,
        index: 63,
        nan: false,
    });
    on_threads(|cores| {
        let mut disk = Disk { bad: Some(place(9_500, 0)), ..Disk::new(&bytes) };
        assert_eq!(load(cores, &plan, &mut disk).map(drop), Err(expected.clone()));
    });
}

#[test]
fn it_tells_how_far_it_is_and_stops_when_it_is_told_to() {
    let model = model();
    let bytes = model.file(Version::V2 { group: 4 });
    let plan = plan(&bytes);
    let file = plan.file();
    let total = file.tensor_bytes();
    on_threads(|cores| {
        let me = thread::current().id();
        let mut told = Vec::new();
        let mut tell = |loading: Loading| {
            assert_eq!(thread::current().id(), me);
            told.push(loading.done);
            assert_eq!(loading.total, total);
            ControlFlow::Continue(())
        };
        Model::load(&plan, &mut bytes.as_slice(), cores, 8, &mut tell).unwrap();
        assert!(told.len() > 3 && told.is_sorted() && told.last() == Some(&total), "{told:?}");
        for calls in 1..=told.len() {
            let mut left = calls;
            let mut stop = |_| {
                left -= 1;
                if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let stopped = Model::load(&plan, &mut bytes.as_slice(), cores, 8, &mut stop);
            assert_eq!(stopped.map(drop), Err(LoadError::Stopped));
        }
    });
}
