//! Cores that ask each other: order, panics, full lanes, and what a round trip costs.

use super::*;
use std::time::Instant;

struct Core {
    id: ShardId,
    seen: RefCell<Vec<u32>>,
    router: Router<Core>,
}

/// Runs `asker` on core 0 beside a core 1 that serves it.
fn between_two_cores<T, F>(asker: impl FnOnce(Rc<Core>) -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
{
    let paths = Paths::<Core>::new(2);
    let start = |id: usize| {
        let paths = paths.clone();
        move || {
            let router = Router::new(ShardId(id), paths);
            let core = Rc::new(Core { id: ShardId(id), seen: RefCell::default(), router });
            core.router.attach(&core);
            core
        }
    };
    let (make_asker, make_owner) = (start(0), start(1));
    let builder = || glommio::LocalExecutorBuilder::new(glommio::Placement::Unbound);
    let owner = builder()
        .spawn(move || async move {
            let core = make_owner();
            core.router.clone().run(&core).await;
        })
        .unwrap();
    let asking = builder()
        .spawn(move || async move {
            let core = make_asker();
            let (running, router) = (Rc::clone(&core), core.router.clone());
            let receiving = glommio::spawn_local(async move { running.router.clone().run(&running).await });
            let out = asker(core).await;
            // The answer may be lost with the core that stops.
            let _ = router.call(ShardId(1), |core| async move { core.router.stop() }).await;
            assert_eq!(router.call(ShardId(1), |_| async move {}).await, Err(ShardGone));
            router.stop();
            receiving.await;
            out
        })
        .unwrap();
    let out = asking.join().unwrap();
    owner.join().unwrap();
    out
}

#[test]
fn work_starts_in_the_order_of_the_calls_and_its_values_come_back() {
    let seen = between_two_cores(|core| async move {
        let calls: Vec<_> = (0..3000u32)
            .map(|number| {
                core.router.call(ShardId(1), move |core| async move {
                    assert_eq!(core.id, ShardId(1));
                    core.seen.borrow_mut().push(number);
                    number * 2
                })
            })
            .collect();
        for (number, call) in calls.into_iter().enumerate() {
            assert_eq!(call.await, Ok(number as u32 * 2));
        }
        core.router.call(ShardId(1), |core| async move { core.seen.take() }).await.unwrap()
    });
    assert_eq!(seen, (0..3000).collect::<Vec<_>>());
}

#[test]
fn work_for_the_own_core_runs_here() {
    let id = between_two_cores(|core| async move {
        let asked = core.router.call(ShardId(0), |core| async move { core.id });
        asked.await.unwrap()
    });
    assert_eq!(id, ShardId(0));
}

#[test]
fn a_panic_of_the_work_reaches_its_caller_as_an_error_and_nobody_else() {
    let panics = between_two_cores(|core| async move {
        let fails = core.router.call(ShardId(1), |_| async move { panic!("as the test wants it") });
        assert_eq!(fails.await.map(|()| 1), Err(ShardGone));
        assert_eq!(core.router.call(ShardId(1), |_| async move { 7 }).await, Ok(7));
        core.router.panics()
    });
    assert_eq!(panics, 1);
}

#[test]
fn round_trips_are_measured() {
    let lines = between_two_cores(|core| async move {
        let mut lines = Vec::new();
        for in_flight in [1usize, 64] {
            let rounds = 2000 / in_flight.min(8);
            let start = Instant::now();
            for _ in 0..rounds {
                let calls: Vec<_> = (0..in_flight)
                    .map(|_| core.router.call(ShardId(1), |core| async move { core.id }))
                    .collect();
                for call in calls {
                    assert_eq!(call.await, Ok(ShardId(1)));
                }
            }
            let per_round = start.elapsed() / rounds as u32;
            lines.push(format!("{in_flight} in flight: {per_round:?} a round"));
        }
        lines
    });
    lines.iter().for_each(|line| println!("{line}"));
}
