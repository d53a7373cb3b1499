//! The processors of a machine: which share a core, which are of one kind, and which takes the interrupts of devices.

use std::{collections::BTreeMap, fs, path::Path};

/// A processor, as the kernel numbers them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Processor {
    /// The lowest number of those that are one core with it; two of one core take turns at its units.
    pub core: usize,
    /// The memory that it is near to.
    pub node: usize,
    /// How much it can do, compared with others of this machine alone.
    pub capacity: u64,
    /// Interrupts of devices that it has taken since boot.
    pub interrupts: u64,
}

impl Processor {
    /// Whether it is of the kind that can do so much: cores of one kind differ by some percent where some are favoured.
    fn is_of(&self, capacity: u64) -> bool {
        self.capacity * 10 >= capacity * 9 && self.capacity * 9 <= capacity * 10
    }
}

/// The processors of a machine, by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine(BTreeMap<usize, Processor>);

impl Machine {
    /// Reads this machine's. What it does not tell is taken for the usual: a core each, one kind, one memory.
    pub fn read() -> Self {
        let interrupts = fs::read_to_string("/proc/interrupts").unwrap_or_default();
        let mut machine = Self::of(Path::new("/sys/devices/system"));
        for (number, count) in device_interrupts(&interrupts) {
            if let Some(processor) = machine.0.get_mut(&number) {
                processor.interrupts = count;
            }
        }
        machine
    }

    /// Reads a folder such as `/sys/devices/system`.
    fn of(folder: &Path) -> Self {
        let numbers = fs::read_to_string(folder.join("cpu/online")).unwrap_or_default();
        let processors = list(&numbers).into_iter().map(|number| {
            let own = folder.join("cpu").join(format!("cpu{number}"));
            let read = |name: &str| fs::read_to_string(own.join(name)).ok()?.trim().parse::<u64>().ok();
            // Numbers of cores begin anew in each cluster of some machines; siblings don't.
            let siblings = fs::read_to_string(own.join("topology/thread_siblings_list")).unwrap_or_default();
            let processor = Processor {
                core: list(&siblings).first().copied().unwrap_or(number),
                node: 0,
                capacity: read("cpu_capacity").or_else(|| read("cpufreq/cpuinfo_max_freq")).unwrap_or(0),
                interrupts: 0,
            };
            (number, processor)
        });
        let mut machine = Self(processors.collect());
        let nodes = fs::read_to_string(folder.join("node/online")).unwrap_or_default();
        for node in list(&nodes) {
            let of_node = folder.join("node").join(format!("node{node}")).join("cpulist");
            for number in list(&fs::read_to_string(of_node).unwrap_or_default()) {
                if let Some(processor) = machine.0.get_mut(&number) {
                    processor.node = node;
                }
            }
        }
        machine
    }

    fn get(&self, number: usize) -> Processor {
        let unknown = || Processor { core: number, ..Processor::default() };
        self.0.get(&number).cloned().unwrap_or_else(unknown)
    }

    /// Whether two processors are one core, and so slow each other down.
    pub fn share_a_core(&self, one: usize, other: usize) -> bool {
        self.get(one).core == self.get(other).core
    }

    /// How many cores so many processors are.
    pub fn cores(&self, processors: &[usize]) -> usize {
        processors
            .iter()
            .map(|number| self.get(*number).core)
            .collect::<std::collections::BTreeSet<_>>()
            .len()
    }

    /// The processor that has taken more than half of all interrupts of devices; `None` where none has.
    pub fn busiest(&self) -> Option<usize> {
        let all: u64 = self.0.values().map(|it| it.interrupts).sum();
        self.0.iter().find(|(_, it)| it.interrupts * 2 > all).map(|(number, _)| *number)
    }

    /// The one that is disturbed least: of the most capable ones the first whose core does not take most interrupts; `None` where
    /// nothing is allowed.
    pub fn quiet(&self, allowed: &[usize]) -> Option<usize> {
        let most = allowed.iter().map(|number| self.get(*number).capacity).max()?;
        let capable = || allowed.iter().copied().filter(|number| self.get(*number).is_of(most));
        let is_disturbed = |number: usize| self.busiest().is_some_and(|it| self.share_a_core(it, number));
        capable().find(|number| !is_disturbed(*number)).or_else(|| capable().next())
    }

    /// One for the other side of those that are taken: the last that shares no core with them, near the same memory, and as capable,
    /// as far as there is one; `None` where nothing is left.
    pub fn beside(&self, allowed: &[usize], taken: &[usize]) -> Option<usize> {
        let own = taken.first().map(|number| self.get(*number)).unwrap_or_default();
        let left = allowed.iter().copied().filter(|number| !taken.contains(number));
        left.max_by_key(|number| {
            let it = self.get(*number);
            let apart = taken.iter().all(|other| !self.share_a_core(*number, *other));
            (apart, it.is_of(own.capacity), it.node == own.node, *number)
        })
    }

    /// Those that share no core with one; all but that one where there are no others.
    pub fn apart_from(&self, allowed: &[usize], one: usize) -> Vec<usize> {
        let but =
            |keep: &dyn Fn(usize) -> bool| allowed.iter().copied().filter(|it| keep(*it)).collect::<Vec<_>>();
        let apart = but(&|it| !self.share_a_core(it, one));
        if apart.is_empty() { but(&|it| it != one) } else { apart }
    }
}

/// The numbers of a list such as `0-3,8`.
fn list(text: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<usize>().ok()?..=last.parse::<usize>().ok()?)
    };
    text.trim().split(',').filter_map(range).flatten().collect()
}

/// Interrupts of devices by processor: the lines of `/proc/interrupts` that have a number for a name (proc(5)).
fn device_interrupts(text: &str) -> BTreeMap<usize, u64> {
    let mut lines = text.lines();
    let numbers = lines.next().unwrap_or_default().split_whitespace();
    let numbers: Vec<usize> = numbers.filter_map(|word| word.strip_prefix("CPU")?.parse().ok()).collect();
    let mut sums: BTreeMap<usize, u64> = numbers.iter().map(|number| (*number, 0)).collect();
    for line in lines {
        let Some((name, counts)) = line.split_once(':') else { continue };
        // On ARM the timer of each processor has a number too.
        if name.trim().parse::<u32>().is_err() || counts.contains("timer") {
            continue;
        }
        for (number, count) in numbers.iter().zip(counts.split_whitespace()) {
            *sums.entry(*number).or_default() += count.parse().unwrap_or(0);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine of so many cores in each of two packages, with two processors each: the second ones have the numbers behind all
    /// first ones, as most have it.
    fn two_packages(cores: usize) -> Machine {
        let of = |number: usize| {
            let core = number % (2 * cores);
            Processor { core, node: core / cores, capacity: 1024, interrupts: 0 }
        };
        Machine((0..4 * cores).map(|number| (number, of(number))).collect())
    }

    fn with_interrupts(mut machine: Machine, taken: &[(usize, u64)]) -> Machine {
        taken.iter().for_each(|(number, count)| machine.0.get_mut(number).unwrap().interrupts = *count);
        machine
    }

    #[test]
    fn who_takes_the_interrupts_is_left_to_them_with_all_of_its_core() {
        let machine = with_interrupts(two_packages(16), &[(0, 900), (5, 100)]);
        let all: Vec<usize> = (0..64).collect();
        assert_eq!((machine.busiest(), machine.quiet(&all)), (Some(0), Some(1)));
        assert_eq!(machine.quiet(&[0, 32]), Some(0), "nothing else is allowed");
        assert_eq!(machine.quiet(&[32, 33]), Some(33), "32 is the same core as 0");
        assert_eq!(machine.quiet(&[]), None);
    }

    #[test]
    fn interrupts_that_are_spread_disturb_nobody_most() {
        let machine = with_interrupts(two_packages(2), &[(0, 50), (1, 50)]);
        assert_eq!((machine.busiest(), machine.quiet(&[0, 1, 2])), (None, Some(0)));
        assert_eq!(Machine::default().quiet(&[3]), Some(3), "a machine that tells nothing");
    }

    #[test]
    fn the_two_sides_share_no_core_and_stay_near_one_memory() {
        let machine = two_packages(16);
        let all: Vec<usize> = (0..64).collect();
        assert_eq!(
            machine.beside(&all, &[1]),
            Some(47),
            "the last of the same package, and 33 is the same core as 1"
        );
        assert!(!machine.share_a_core(47, 1) && machine.share_a_core(33, 1));
        assert_eq!(machine.beside(&[1, 33], &[1]), Some(33), "a shared core is better than none");
        assert_eq!(machine.beside(&[1], &[1]), None);
        assert_eq!(machine.cores(&[1, 33, 2]), 2);
    }

    #[test]
    fn several_workers_leave_the_whole_core_of_the_client_alone() {
        let machine = two_packages(2);
        let all: Vec<usize> = (0..8).collect();
        assert_eq!(machine.apart_from(&all, 7), [0, 1, 2, 4, 5, 6], "3 is the same core as 7");
        assert_eq!(machine.apart_from(&[3, 7], 7), [3]);
    }

    #[test]
    fn capable_cores_come_first_where_there_are_unlike_ones() {
        let little =
            |number: usize| (number, Processor { core: number, capacity: 400, ..Processor::default() });
        let big = |number: usize| {
            (number, Processor { core: number, capacity: 1024 - number as u64, ..Processor::default() })
        };
        let machine = Machine([little(0), little(1), big(2), big(3), little(4)].into_iter().collect());
        let all: Vec<usize> = (0..5).collect();
        assert_eq!(machine.quiet(&all), Some(2));
        assert_eq!(machine.beside(&all, &[2]), Some(3), "not the last, which is a little one");
    }

    #[test]
    fn only_lines_of_devices_count() {
        let text = "           CPU0       CPU2\n 24:  1  5  IO-APIC\nLOC:  100 200 Local timer\n 30: 2 7 PCI-MSIX\n 11: 900 900 GICv3 27 Level arch_timer\n";
        assert_eq!(device_interrupts(text), [(0, 3), (2, 12)].into_iter().collect());
        assert_eq!(list("0-2,7\n"), [0, 1, 2, 7]);
        assert_eq!(list(""), [0; 0]);
    }

    #[test]
    fn this_machine_has_every_processor_that_this_process_may_use() {
        let machine = Machine::read();
        let allowed = super::super::Cpus::of_this_process().unwrap();
        assert!(allowed.0.iter().all(|number| machine.0.contains_key(number)), "{machine:?}");
    }
}
