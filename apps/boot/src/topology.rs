//! Which of a machine's processors compute.

use alloc::vec::Vec;

/// A logical processor, as firmware describes it.
#[derive(Clone, Copy, Debug)]
pub struct Processor {
    /// Whether it is the one that this program was started on.
    pub boots: bool,
    /// Whether it is enabled and healthy.
    pub usable: bool,
    /// Its package, its core in the package, and its thread in the core.
    pub location: [u32; 3],
}

/// The place of each processor in the team, by the firmware's numbers: 0 is the one that boots, and
/// who has none does not compute.
///
/// One of each core computes, for the threads of a core share what computes. Firmware that tells
/// the same location of two processors does not know its cores: then all of them compute.
pub fn places(processors: &[Processor]) -> Vec<Option<usize>> {
    let known = (processors.iter().enumerate())
        .all(|(number, a)| processors[..number].iter().all(|b| a.location != b.location));
    let mut cores: Vec<[u32; 2]> = Vec::new();
    let boots = processors.iter().filter(|processor| processor.boots);
    cores.extend(boots.map(core));
    let place = |processor: &Processor| {
        if processor.boots {
            return Some(0);
        }
        if !processor.usable || (known && cores.contains(&core(processor))) {
            return None;
        }
        cores.push(core(processor));
        Some(cores.len() - 1)
    };
    processors.iter().map(place).collect()
}

fn core(processor: &Processor) -> [u32; 2] {
    let [package, core, _] = processor.location;
    [package, core]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn processors(locations: &[[u32; 3]]) -> Vec<Processor> {
        let processor = |(number, &location): (usize, &[u32; 3])| Processor {
            boots: number == 0,
            usable: true,
            location,
        };
        locations.iter().enumerate().map(processor).collect()
    }

    #[test]
    fn each_core_computes_once() {
        let cores = processors(&[[0, 0, 0], [0, 1, 0], [0, 2, 0]]);
        assert_eq!(places(&cores), [Some(0), Some(1), Some(2)]);
        // Two threads a core, and a core that has only one.
        let threads = processors(&[[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [0, 2, 0]]);
        assert_eq!(places(&threads), [Some(0), None, Some(1), None, Some(2)]);
        // Two packages.
        let packages = processors(&[[0, 0, 0], [1, 0, 0], [1, 1, 0]]);
        assert_eq!(places(&packages), [Some(0), Some(1), Some(2)]);
    }

    #[test]
    fn the_core_that_boots_need_not_be_the_first() {
        let mut threads = processors(&[[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1]]);
        (threads[0].boots, threads[3].boots) = (false, true);
        assert_eq!(places(&threads), [Some(1), None, None, Some(0)]);
    }

    #[test]
    fn the_disabled_and_the_sick_do_not_compute() {
        let mut threads = processors(&[[0, 0, 0], [0, 1, 0], [0, 1, 1], [0, 2, 0]]);
        threads[1].usable = false;
        threads[3].usable = false;
        assert_eq!(places(&threads), [Some(0), None, Some(1), None]);
    }

    #[test]
    fn locations_that_say_nothing_are_not_believed() {
        assert_eq!(places(&processors(&[[0; 3]; 3])), [Some(0), Some(1), Some(2)]);
        assert_eq!(places(&processors(&[[7; 3]])), [Some(0)]);
        assert!(places(&[]).is_empty());
    }
}
