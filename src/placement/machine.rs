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

    /// The same processors, those first that a server should have first: as capable as there are, without the interrupts of devices, near
    /// the same memory.
    fn nearest(&self, among: &[usize]) -> Vec<usize> {
        let first = self.quiet(among).map(|number| self.get(number)).unwrap_or_default();
        let mut nearest = among.to_vec();
        nearest.sort_by_key(|number| {
            let it = self.get(*number);
            let is_disturbed = self.busiest().is_some_and(|busiest| self.share_a_core(busiest, *number));
            (!it.is_of(first.capacity), is_disturbed, it.node != first.node, it.node, *number)
        });
        nearest
    }

    /// Processors for a server with each of some numbers of workers, and for its client, which costs about as much: unless asked
    /// otherwise, half of the cores at most are the server's, one processor of each, and all processors of the others are the client's.
    pub fn sides(
        &self,
        allowed: &[usize],
        workers: &[usize],
        server: Option<&[usize]>,
        client: Option<&[usize]>,
    ) -> Sides {
        let most = workers.iter().copied().max().unwrap_or(1);
        let or_all = |apart: Vec<usize>| if apart.is_empty() { allowed.to_vec() } else { apart };
        let for_server = match (server, client) {
            (Some(asked), _) => asked.to_vec(),
            (None, Some(client)) => or_all(self.apart_from(allowed, client)),
            (None, None) => self.spread(&self.nearest(allowed), most.min((self.cores(allowed) / 2).max(1))),
        };
        let order = self.spread(&self.nearest(&for_server), most);
        let client = client.map_or_else(|| or_all(self.apart_from(allowed, &order)), <[usize]>::to_vec);
        let of_workers = |workers: &usize| {
            let processors: Vec<usize> = order.iter().copied().take(*workers).collect();
            let void = self.void(&processors, *workers, &client);
            (processors, void)
        };
        Sides { server: workers.iter().map(of_workers).collect(), client }
    }

    /// Why so many workers on these processors say nothing of what more processors would give.
    fn void(&self, processors: &[usize], workers: usize, client: &[usize]) -> Option<String> {
        let kind = processors.first().map(|number| self.get(*number).capacity).unwrap_or_default();
        let shares = |number: &usize| client.iter().any(|other| self.share_a_core(*number, *other));
        match processors {
            [_] if workers > 1 => Some("has 1 processor".to_owned()),
            several if workers > several.len() => Some(format!("has {} processors", several.len())),
            all if all.iter().any(shares) => Some("shares a core with the client".to_owned()),
            all if self.cores(all) < all.len() => Some("has two processors of one core".to_owned()),
            all if all.iter().any(|number| !self.get(*number).is_of(kind)) => {
                Some("has processors of unlike kinds".to_owned())
            }
            _ => None,
        }
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

/// The processors of a server with several numbers of workers, and of the one client of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sides {
    /// For each number of workers the server's, and why they say nothing of what more processors would give, if they don't: what
    /// completes a sentence that begins with who has them.
    pub server: Vec<(Vec<usize>, Option<String>)>,
    /// The client's.
    pub client: Vec<usize>,
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

    const COUNTS: [usize; 6] = [1, 2, 4, 8, 16, 64];

    /// The processors of each of those numbers of workers, which are to be the first of those of the next.
    fn growing(sides: &Sides) -> Vec<&[usize]> {
        let server: Vec<&[usize]> =
            sides.server.iter().map(|(processors, _)| processors.as_slice()).collect();
        assert!(server.windows(2).all(|two| two[1].starts_with(two[0])), "{server:?}");
        server
    }

    fn voids(sides: &Sides) -> Vec<&str> {
        sides.server.iter().map(|(_, void)| void.as_deref().unwrap_or_default()).collect()
    }

    #[test]
    fn more_workers_get_more_cores_of_one_package_and_the_client_all_others() {
        // 32 cores in two packages, two processors each.
        let machine = with_interrupts(two_packages(16), &[(0, 900)]);
        let all: Vec<usize> = (0..64).collect();
        let sides = machine.sides(&all, &[1, 8], None, None);
        assert_eq!(growing(&sides)[1], (1..9).collect::<Vec<_>>(), "not 0, which takes the interrupts");
        assert_eq!(sides.client.len(), 64 - 16, "their siblings rest");
        let sides = machine.sides(&all, &COUNTS, None, None);
        for (processors, workers) in growing(&sides).into_iter().zip(COUNTS) {
            assert_eq!(processors.len(), workers.min(16), "half of the cores at most");
            assert_eq!(machine.cores(processors), processors.len(), "a core each");
            let apart = |one: &usize| sides.client.iter().all(|other| !machine.share_a_core(*one, *other));
            assert!(processors.iter().all(apart));
            // Fifteen of the first package are undisturbed; the sixteenth is of the other one.
            assert!(
                processors.iter().take(15).all(|number| machine.get(*number).node == 0),
                "{processors:?}"
            );
        }
        assert_eq!(voids(&sides), ["", "", "", "", "", "has 16 processors"]);
    }

    #[test]
    fn a_machine_of_two_processors_has_one_for_each_side_and_of_one_the_same_for_both() {
        let machine = |processors: usize| {
            let of = |core| (core, Processor { core, ..Processor::default() });
            Machine((0..processors).map(of).collect())
        };
        let two = machine(2).sides(&[0, 1], &[1, 2], None, None);
        assert_eq!((growing(&two), &two.client), (vec![&[0][..], &[0]], &vec![1]));
        assert_eq!(voids(&two), ["", "has 1 processor"]);
        let one = machine(1).sides(&[0], &[1, 2], None, None);
        assert_eq!(one.client, [0]);
        assert_eq!(voids(&one), ["shares a core with the client", "has 1 processor"]);
        let siblings = two_packages(2).sides(&[1, 5], &[1, 2], None, None);
        assert_eq!((growing(&siblings)[1], &siblings.client), (&[1][..], &vec![5]));
        assert_eq!(voids(&siblings), ["shares a core with the client", "has 1 processor"]);
    }

    #[test]
    fn what_is_asked_for_is_kept_to_and_void_where_it_says_nothing() {
        let machine = two_packages(4);
        let all: Vec<usize> = (0..16).collect();
        // Processors 8 to 15 are the second ones of the cores 0 to 7.
        let client = machine.sides(&all, &[1, 2, 4], None, Some(&[0, 1, 2, 3]));
        assert_eq!((growing(&client)[2], &client.client), (&[4, 5, 6, 7][..], &vec![0, 1, 2, 3]));
        assert_eq!(voids(&client), ["", "", ""]);
        let server = machine.sides(&all, &[1, 2], Some(&[0, 8]), None);
        assert_eq!(growing(&server)[1], [0, 8]);
        assert_eq!(voids(&server), ["", "has two processors of one core"]);
        assert!(server.client.iter().all(|number| ![0, 8].contains(number)) && server.client.len() == 14);
        let both = machine.sides(&all, &[1, 2], Some(&[0, 1]), Some(&[8, 9]));
        assert_eq!(voids(&both), ["shares a core with the client"; 2]);
    }

    #[test]
    fn unlike_cores_are_no_more_of_the_same() {
        let of = |number: usize| {
            let capacity = if number < 6 { 400 } else { 1024 };
            (number, Processor { core: number, capacity, ..Processor::default() })
        };
        let machine = Machine((0..8).map(of).collect());
        let sides = machine.sides(&(0..8).collect::<Vec<_>>(), &[1, 2, 4], None, None);
        assert_eq!(growing(&sides)[2], [6, 7, 0, 1], "big ones first");
        assert_eq!(voids(&sides), ["", "", "has processors of unlike kinds"]);
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
