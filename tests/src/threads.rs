//! Several cores.

use bootllm_cores::Cores;

/// As many threads as asked for, started anew for every job: slow and plain.
#[derive(Clone, Copy, Debug)]
pub struct Threads(pub usize);

impl Cores for Threads {
    fn count(&self) -> usize {
        self.0
    }

    fn run(&self, job: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            for worker in 0..self.0 {
                scope.spawn(move || job(worker));
            }
        });
    }
}
