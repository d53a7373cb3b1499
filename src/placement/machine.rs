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

    /// So many of some processors, each of another core as far as there are as many: the first of each core before any second.
    pub fn spread(&self, among: &[usize], count: usize) -> Vec<usize> {
        let mut seen = BTreeMap::new();
        let mut by_turn: Vec<(usize, usize)> = among
            .iter()
            .map(|number| {
                let turn = seen.entry(self.get(*number).core).or_insert(0);
                *turn += 1;
                (*turn, *number)
            })
            .collect();
        // Stable: within a turn they stay in their order.
        by_turn.sort_by_key(|(turn, _)| *turn);
        by_turn.into_iter().take(count).map(|(_, number)| number).collect()
    }

    /// Processors for up to so many workers of a server, and all others for its client, which costs about as much: half of the cores
    /// at most are the server's, one processor of each, as capable and as near to each other as there are. No core is of both sides,
    /// where there are two.
    pub fn sides(&self, allowed: &[usize], workers: usize) -> (Vec<usize>, Vec<usize>) {
        let first = self.quiet(allowed).map(|number| self.get(number)).unwrap_or_default();
        let mut nearest = allowed.to_vec();
        nearest.sort_by_key(|number| {
            let it = self.get(*number);
            let is_disturbed = self.busiest().is_some_and(|busiest| self.share_a_core(busiest, *number));
            (!it.is_of(first.capacity), is_disturbed, it.node != first.node, *number)
        });
        let most = (self.cores(allowed) / 2).max(1);
        let server = self.spread(&nearest, workers.min(most));
        let client = self.apart_from(allowed, &server);
        (server, if client.is_empty() { allowed.to_vec() } else { client })
    }

    /// Those that share no core with any that is taken; where there are none, all that are not taken themselves.
    pub fn apart_from(&self, allowed: &[usize], taken: &[usize]) -> Vec<usize> {
        let all_but = |is_taken: &dyn Fn(usize, usize) -> bool| -> Vec<usize> {
            let free = |it: &usize| !taken.iter().any(|other| is_taken(*it, *other));
            allowed.iter().copied().filter(free).collect()
        };
        let apart = all_but(&|it, other| self.share_a_core(it, other));
        if apart.is_empty() { all_but(&|it, other| it == other) } else { apart }
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
        assert_eq!(machine.apart_from(&all, &[7]), [0, 1, 2, 4, 5, 6], "3 is the same core as 7");
        assert_eq!(machine.apart_from(&[3, 7], &[7]), [3]);
    }

    #[test]
    fn more_workers_get_more_cores_of_one_package_and_the_client_all_others() {
        // 32 cores in two packages, two processors each.
        let machine = with_interrupts(two_packages(16), &[(0, 900)]);
        let all: Vec<usize> = (0..64).collect();
        let (server, client) = machine.sides(&all, 8);
        assert_eq!(server, (1..9).collect::<Vec<_>>(), "not 0, which takes the interrupts");
        assert_eq!(client.len(), 64 - 16, "their siblings rest");
        for workers in [1, 2, 4, 8, 16, 64] {
            let (server, client) = machine.sides(&all, workers);
            assert_eq!(server.len(), workers.min(16), "half of the cores at most");
            assert_eq!(machine.cores(&server), server.len(), "a core each");
            assert!(server.iter().all(|one| client.iter().all(|other| !machine.share_a_core(*one, *other))));
            // Fifteen of the first package are undisturbed; the sixteenth is of the other one.
            assert!(server.iter().take(15).all(|number| machine.get(*number).node == 0), "{server:?}");
        }
    }

    #[test]
    fn a_machine_of_two_processors_has_one_for_each_side_and_of_one_the_same_for_both() {
        let machine = |processors: usize| {
            let of = |core| (core, Processor { core, ..Processor::default() });
            Machine((0..processors).map(of).collect())
        };
        assert_eq!(machine(2).sides(&[0, 1], 8), (vec![0], vec![1]));
        assert_eq!(machine(1).sides(&[0], 2), (vec![0], vec![0]));
        assert_eq!(two_packages(2).sides(&[1, 5], 2), (vec![1], vec![5]), "one core alone is allowed");
    }

    #[test]
    fn a_core_gives_its_second_processor_when_all_have_given_their_first() {
        let machine = two_packages(2);
        assert_eq!(machine.spread(&[0, 4, 1, 5], 3), [0, 1, 4], "4 is the same core as 0");
        assert_eq!(machine.spread(&[0], 2), [0]);
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
