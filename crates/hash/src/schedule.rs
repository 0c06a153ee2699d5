//! Keeps the lanes of an engine full: when one input ends its lane takes the next one.

use super::algorithm::{Algorithm, Tail};
use super::engine::Engine;
use super::lanes::{BLOCK_BYTES, Blocks, LaneState, MAX_LANES};

/// An input in work.
#[derive(Clone, Copy)]
struct Job {
    /// Which input it is.
    index: usize,
    /// Blocks of it that are done, its tail not counted.
    done: usize,
    /// Blocks of its tail that are done; `None` until the whole blocks are.
    tail_done: Option<usize>,
}

/// Hashes each input into the digest of the same index; `choose` says by which engine so many
/// inputs (at least 1, at most [`MAX_LANES`]) are to be advanced.
pub(super) fn run<A: Algorithm>(
    choose: impl Fn(usize) -> Engine,
    inputs: &[&[u8]],
    out: &mut [A::Digest],
) {
    assert_eq!(inputs.len(), out.len(), "one digest for each input");
    let mut state = LaneState([[0; MAX_LANES]; 8]);
    let mut tails = [Tail::EMPTY; MAX_LANES];
    let mut jobs = [Job { index: 0, done: 0, tail_done: None }; MAX_LANES];
    let mut active = 0;
    let mut next = 0;
    loop {
        while active < MAX_LANES && next < inputs.len() {
            let (whole, rest) = inputs[next].as_chunks::<BLOCK_BYTES>();
            tails[active] = Tail::new(rest, inputs[next].len());
            let tail_done = whole.is_empty().then_some(0);
            jobs[active] = Job { index: next, done: 0, tail_done };
            state.set_lane(active, A::INITIAL);
            active += 1;
            next += 1;
        }
        if active == 0 {
            return;
        }

        let engine = choose(active);
        let running = active.min(engine.lanes());
        let mut views: [Blocks<'_>; MAX_LANES] = [&[]; MAX_LANES];
        let mut step = usize::MAX;
        for lane in 0..running {
            let job = jobs[lane];
            views[lane] = match job.tail_done {
                None => &inputs[job.index].as_chunks().0[job.done..],
                Some(done) => &tails[lane].blocks()[done..],
            };
            step = step.min(views[lane].len());
        }
        // Lanes without an input repeat the first one; nobody looks at what they make of it.
        let filler = views[0];
        views[running..].fill(filler);
        engine.compress::<A>(&mut state, &views, step);

        // Downwards, so that what moves into the place of a finished lane has been seen already.
        for lane in (0..running).rev() {
            let job = &mut jobs[lane];
            let ended = match &mut job.tail_done {
                None => {
                    job.done += step;
                    if job.done == inputs[job.index].as_chunks::<BLOCK_BYTES>().0.len() {
                        job.tail_done = Some(0);
                    }
                    false
                }
                Some(done) => {
                    *done += step;
                    *done == tails[lane].blocks().len()
                }
            };
            if ended {
                out[job.index] = A::digest(state.lane(lane));
                active -= 1;
                jobs[lane] = jobs[active];
                tails[lane] = tails[active];
                state.set_lane(lane, state.lane(active));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::algorithm::{sha1, sha256};
    use crate::{Digest, Sha1, Sha256};

    fn hex(digest: &[u8]) -> String {
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn bytes(len: usize, seed: usize) -> Vec<u8> {
        (0..len).map(|i| ((i + seed).wrapping_mul(0x9e37_79b9) >> 13) as u8).collect()
    }

    fn check(engine: Engine, inputs: &[&[u8]]) {
        let mut found = vec![[0; 20]; inputs.len()];
        run::<sha1::Sha1>(|_| engine, inputs, &mut found);
        let wanted: Vec<[u8; 20]> = inputs.iter().map(|it| Sha1::digest(it).into()).collect();
        assert_eq!(found, wanted, "SHA-1 by {}", engine.name());

        let mut found = vec![[0; 32]; inputs.len()];
        run::<sha256::Sha256>(|_| engine, inputs, &mut found);
        let wanted: Vec<[u8; 32]> = inputs.iter().map(|it| Sha256::digest(it).into()).collect();
        assert_eq!(found, wanted, "SHA-256 by {}", engine.name());
    }

    #[test]
    fn known_answers() {
        for engine in Engine::available() {
            let inputs: [&[u8]; 3] = [b"", b"abc", &[b'a'; 1_000_000]];
            let mut short = [[0; 20]; 3];
            run::<sha1::Sha1>(|_| engine, &inputs, &mut short);
            let texts = short.map(|digest| hex(&digest));
            assert_eq!(texts[0], "da39a3ee5e6b4b0d3255bfef95601890afd80709");
            assert_eq!(texts[1], "a9993e364706816aba3e25717850c26c9cd0d89d");
            assert_eq!(texts[2], "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
            let mut long = [[0; 32]; 3];
            run::<sha256::Sha256>(|_| engine, &inputs, &mut long);
            let texts = long.map(|digest| hex(&digest));
            assert_eq!(
                texts[0],
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
            );
            assert_eq!(
                texts[1],
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
            );
            assert_eq!(
                texts[2],
                "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
            );
        }
    }

    #[test]
    fn every_length_around_the_padding() {
        let data = bytes(300 + 7, 1);
        let inputs: Vec<&[u8]> = (0..=300).map(|len| &data[len % 7..len % 7 + len]).collect();
        for engine in Engine::available() {
            check(engine, &inputs);
            let backwards: Vec<&[u8]> = inputs.iter().rev().copied().collect();
            check(engine, &backwards);
        }
    }

    #[test]
    fn every_number_of_equal_inputs() {
        for count in 0..=40 {
            let data: Vec<Vec<u8>> = (0..count).map(|i| bytes(200, i * 1000)).collect();
            let inputs: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
            for engine in Engine::available() {
                check(engine, &inputs);
            }
        }
    }

    #[test]
    #[should_panic(expected = "one digest for each input")]
    fn digests_must_be_as_many_as_inputs() {
        run::<sha1::Sha1>(|_| Engine::ONE, &[b"a", b"b"], &mut [[0; 20]; 1]);
    }

    proptest! {
        #[test]
        fn inputs_of_any_lengths(
            lens in prop::collection::vec(
                (0_usize..40, -10_isize..=10).prop_map(|(blocks, edge)| {
                    (blocks * BLOCK_BYTES).saturating_add_signed(edge)
                }),
                0..40,
            ),
            seed in any::<u16>(),
            picks in prop::collection::vec(any::<prop::sample::Index>(), MAX_LANES),
        ) {
            let data: Vec<Vec<u8>> =
                lens.iter().enumerate().map(|(i, &len)| bytes(len, i + usize::from(seed))).collect();
            let inputs: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
            let engines = Engine::available();
            for &engine in &engines {
                check(engine, &inputs);
            }
            // Another engine for each number of inputs: the state moves between them.
            let mut found = vec![[0; 20]; inputs.len()];
            run::<sha1::Sha1>(|n| *picks[n - 1].get(&engines), &inputs, &mut found);
            let wanted: Vec<[u8; 20]> = inputs.iter().map(|it| Sha1::digest(it).into()).collect();
            prop_assert_eq!(found, wanted);
        }
    }
}
