//! Which of a machine's processors compute.

use alloc::vec::Vec;

/// A logical processor as the firmware describes it.
#[derive(Clone, Copy, Debug)]
pub struct Processor {
    /// Whether this program was started on it.
    pub boots: bool,
    /// Whether it is enabled and healthy.
    pub usable: bool,
    /// Its package, its core in the package, and its thread in the core.
    pub location: [u32; 3],
}

/// Whether several logical processors may share a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// Firmware can know: its locations count.
    AsLocated,
    /// The CPU has one thread per core, whatever the firmware makes of it.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "others have no such CPUs"))]
    None,
}

/// Tells whether an Intel CPU without CPUID leaf 0xB has several threads per core.
///
/// `logical` is CPUID.1:EBX\[23:16\], the addressable logical processors per package, and `cores`
/// is CPUID.4:EAX\[31:26\] + 1, the addressable cores per package, or 1 where the CPU has no leaf 4
/// (SDM 3, "Identifying Topological Relationships in a MP System"). Both are rounded up to powers
/// of two before they are compared, as the widths of fields in an APIC ID are.
#[cfg(any(target_arch = "x86_64", test))]
pub fn threads_without_leaf_b(logical: u32, cores: u32) -> Threads {
    if logical.max(1).next_power_of_two() > cores.max(1).next_power_of_two() {
        Threads::AsLocated
    } else {
        Threads::None
    }
}

/// Assigns each processor, by the firmware's number, its place in the team. Place 0 is the
/// processor that boots; a processor without a place does not compute.
///
/// One thread of each core computes, because the threads of a core share its arithmetic units.
/// Firmware that reports one location for two processors does not know the cores, and firmware that
/// reports threads which the CPU does not have is wrong: then every processor computes.
pub fn places(processors: &[Processor], threads: Threads) -> Vec<Option<usize>> {
    let distinct = (processors.iter().enumerate())
        .all(|(number, a)| processors[..number].iter().all(|b| a.location != b.location));
    let by_core = distinct && threads == Threads::AsLocated;
    let mut cores: Vec<[u32; 2]> = Vec::new();
    let boots = processors.iter().filter(|processor| processor.boots);
    cores.extend(boots.map(core));
    let place = |processor: &Processor| {
        if processor.boots {
            return Some(0);
        }
        if !processor.usable || (by_core && cores.contains(&core(processor))) {
            return None;
        }
        cores.push(core(processor));
        Some(cores.len() - 1)
    };
    processors.iter().map(place).collect()
}

/// Takes the places from `cores` on away.
pub fn limit(places: &mut [Option<usize>], cores: usize) {
    for place in places {
        *place = place.filter(|&place| place < cores);
    }
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
        assert_eq!(places(&cores, Threads::AsLocated), [Some(0), Some(1), Some(2)]);
        // Two threads a core, and a core that has only one.
        let threads = processors(&[[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [0, 2, 0]]);
        assert_eq!(places(&threads, Threads::AsLocated), [Some(0), None, Some(1), None, Some(2)]);
        // Two packages.
        let packages = processors(&[[0, 0, 0], [1, 0, 0], [1, 1, 0]]);
        assert_eq!(places(&packages, Threads::AsLocated), [Some(0), Some(1), Some(2)]);
    }

    #[test]
    fn threads_that_the_cpu_does_not_have_are_cores() {
        let core_2_duo = processors(&[[0, 0, 0], [0, 0, 1]]);
        assert_eq!(places(&core_2_duo, Threads::AsLocated), [Some(0), None]);
        assert_eq!(places(&core_2_duo, Threads::None), [Some(0), Some(1)]);
    }

    #[test]
    fn cpus_from_before_leaf_b() {
        for (logical, cores, threads) in [
            // Core 2 Duo, Core 2 Quad, a lone core that names no processors.
            (2, 2, Threads::None),
            (4, 4, Threads::None),
            (0, 1, Threads::None),
            // Pentium 4 with Hyper-Threading, Atom D510.
            (2, 1, Threads::AsLocated),
            (4, 2, Threads::AsLocated),
            // Six cores in eight addresses.
            (8, 6, Threads::None),
        ] {
            assert_eq!(threads_without_leaf_b(logical, cores), threads, "{logical} in {cores}");
        }
    }

    #[test]
    fn the_core_that_boots_need_not_be_the_first() {
        let mut threads = processors(&[[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1]]);
        (threads[0].boots, threads[3].boots) = (false, true);
        assert_eq!(places(&threads, Threads::AsLocated), [Some(1), None, None, Some(0)]);
    }

    #[test]
    fn the_disabled_and_the_sick_do_not_compute() {
        let mut threads = processors(&[[0, 0, 0], [0, 1, 0], [0, 1, 1], [0, 2, 0]]);
        threads[1].usable = false;
        threads[3].usable = false;
        assert_eq!(places(&threads, Threads::AsLocated), [Some(0), None, Some(1), None]);
    }

    #[test]
    fn the_last_places_go_first() {
        let mut all = [Some(1), None, Some(0), Some(2)];
        limit(&mut all, 2);
        assert_eq!(all, [Some(1), None, Some(0), None]);
        limit(&mut all, 1);
        assert_eq!(all, [None, None, Some(0), None]);
    }

    #[test]
    fn locations_that_say_nothing_are_not_believed() {
        assert_eq!(
            places(&processors(&[[0; 3]; 3]), Threads::AsLocated),
            [Some(0), Some(1), Some(2)]
        );
        assert_eq!(places(&processors(&[[7; 3]]), Threads::AsLocated), [Some(0)]);
        assert!(places(&[], Threads::AsLocated).is_empty());
    }
}
