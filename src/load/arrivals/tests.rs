//! Plans of arrivals: what is drawn, and what cannot be.

use super::*;
use crate::work::{Distribution, Work, WorkKind};

fn plan(process: Process, skew: Option<Skew>) -> OpenPlan {
    OpenPlan {
        destinations: Vec::new(),
        connections: 64,
        part: Part::default(),
        shape: Shape::default(),
        process,
        rate: 20_000.0,
        skew,
        seed: 11,
        ramp_ms: 1000,
        window_ms: 4000,
        drain_ms: 100,
        spins: true,
    }
}

#[test]
fn a_hundred_thousand_arrivals_take_twenty_bytes_each_at_most() {
    let arrivals = plan(Process::Poisson, None).arrivals();
    assert!((99_000..101_000).contains(&arrivals.len()), "{}", arrivals.len());
    assert!(arrivals.capacity() * size_of::<Arrival>() <= 20 * arrivals.len());
}

#[test]
fn poisson_arrivals_have_the_rate_and_the_spread_of_their_process() {
    let arrivals = plan(Process::Poisson, None).arrivals();
    let gaps: Vec<f64> = arrivals.windows(2).map(|two| (two[1].at_ns - two[0].at_ns) as f64).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let square = gaps.iter().map(|gap| gap * gap).sum::<f64>() / gaps.len() as f64;
    // 50 µs apart, with a standard deviation as large.
    assert!((mean / 50_000.0 - 1.0).abs() < 0.01, "{mean}");
    assert!((square.sqrt() / mean - 2.0_f64.sqrt()).abs() < 0.02, "{square}");
    let fixed = plan(Process::Fixed, None).arrivals();
    assert!(fixed.windows(2).all(|two| (two[1].at_ns - two[0].at_ns).abs_diff(50_000) <= 1));
}

#[test]
fn the_same_seed_is_the_same_plan_and_another_another() {
    let one = plan(Process::Poisson, None);
    assert_eq!(one.arrivals(), one.arrivals());
    assert_ne!(one.arrivals(), OpenPlan { seed: 12, ..one.clone() }.arrivals());
    assert_ne!(one.session(3), OpenPlan { seed: 12, ..one.clone() }.session(3));
}

#[test]
fn each_arrival_knows_the_next_on_its_connection() {
    let arrivals = plan(Process::Poisson, Some(Skew::Zipf { zipf: 0.99 })).arrivals();
    let mut last: Vec<Option<usize>> = vec![None; 64];
    for (index, arrival) in arrivals.iter().enumerate() {
        if let Some(before) = last[arrival.connection as usize].replace(index) {
            assert_eq!(arrivals[before].next, index as u32);
        }
    }
    assert!(last.into_iter().flatten().all(|index| arrivals[index].next == Arrival::NONE));
}

#[test]
fn skew_gives_the_shares_that_were_asked_for() {
    let share = |skew, of: usize| {
        let arrivals = plan(Process::Poisson, Some(skew)).arrivals();
        arrivals.iter().filter(|it| (it.connection as usize) < of).count() as f64 / arrivals.len() as f64
    };
    let hot = share(Skew::Hot { hot: 2, share: 0.9 }, 2);
    assert!((hot - 0.9).abs() < 0.005, "{hot}");
    let all = share(Skew::Hot { hot: 64, share: 0.9 }, 64);
    assert!((all - 1.0).abs() < 1e-9, "{all}");
    // Zipf: the first of 64 has 1 / H with H = Σ n⁻¹ = 4.7439.
    let first = share(Skew::Zipf { zipf: 1.0 }, 1);
    assert!((first - 1.0 / 4.7439).abs() < 0.005, "{first}");
}

#[test]
fn a_plan_that_would_not_fit_is_refused() {
    let long = OpenPlan { rate: 1e6, window_ms: 100_000, ..plan(Process::Fixed, None) };
    let told = long.check().unwrap_err().to_string();
    assert!(told.starts_with("1000000 messages a second for 101.0 s would be 101000000 messages"), "{told}");
    assert_eq!(plan(Process::Fixed, None).check(), Ok(()));
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(OpenPlan { rate, ..plan(Process::Fixed, None) }.check().is_err(), "{rate}");
    }
}

/// Plans and work as they are drawn, in the time of a simulation: one server, first in, first out. M/M/1 has the mean response
/// s / (1 − ρ) (F. Pollaczek 1930 and A. Khinchine 1932, for exponential work).
#[test]
fn the_plans_of_several_clients_are_together_that_of_one() {
    for skew in [None, Some(Skew::Hot { hot: 2, share: 0.9 }), Some(Skew::Zipf { zipf: 0.99 })] {
        for process in [Process::Poisson, Process::Fixed] {
            let whole = plan(process, skew);
            let parts: Vec<OpenPlan> =
                (0..3).map(|index| OpenPlan { part: Part { index, of: 3 }, ..whole.clone() }).collect();
            assert_eq!(parts.iter().map(OpenPlan::own_connections).sum::<usize>(), whole.connections);
            let told = |plan: &OpenPlan| {
                let whole = |connection: u32| plan.part.whole(connection as usize);
                let told =
                    |it: &Arrival| (it.at_ns, whole(it.connection), plan.session(it.connection as usize));
                plan.arrivals().iter().map(told).collect::<Vec<_>>()
            };
            let mut all: Vec<_> = parts.iter().flat_map(told).collect();
            all.sort_unstable();
            assert_eq!(all, told(&whole));
        }
    }
}

#[test]
fn plans_and_work_make_the_queue_that_the_formula_has() {
    const MEAN_S: f64 = 25e-6;
    let work =
        Work { kind: WorkKind::Spin, mean_ns: 25_000, distribution: Distribution::Exponential, seed: 1 };
    for load in [0.5, 0.7, 0.9] {
        let (mut sum, mut count) = (0.0, 0_u64);
        for seed in 0..24 {
            let plan = OpenPlan {
                rate: load / MEAN_S,
                seed,
                ramp_ms: 0,
                window_ms: 40_000,
                ..plan(Process::Poisson, None)
            };
            let mut free_at = 0.0_f64;
            for (number, arrival) in plan.arrivals().iter().enumerate() {
                let at = arrival.at_ns as f64 / 1e9;
                let message = [seed, number as u64].map(u64::to_le_bytes).concat();
                free_at = free_at.max(at) + work.of(&message).as_secs_f64();
                sum += free_at - at;
                count += 1;
            }
        }
        let (mean, formula) = (sum / count as f64, MEAN_S / (1.0 - load));
        assert!((mean / formula - 1.0).abs() < 0.01, "at {load}: {mean} where it should be {formula}");
    }
}
