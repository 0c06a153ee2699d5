//! Which instructions to hash with: what the processor has, and what is fastest for so many inputs.

use std::array;
use std::sync::LazyLock;

use super::algorithm::Algorithm;
#[cfg(target_arch = "x86_64")]
use super::lanes::{Avx2, Avx512, Avx512Half};
use super::lanes::{Blocks, LaneState, MAX_LANES};
#[cfg(target_arch = "x86_64")]
use super::sha_ni::ShaNi;

/// A way to hash some inputs at once.
#[derive(Clone, Copy, Debug)]
pub struct Engine(Kind);

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// One input, by the `sha1` and `sha2` crates (which use SHA-NI where it exists).
    One,
    /// Two inputs interleaved.
    #[cfg(target_arch = "x86_64")]
    ShaNi(ShaNi),
    /// Eight lanes.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// Eight lanes.
    #[cfg(target_arch = "x86_64")]
    Avx512Half(Avx512Half),
    /// Sixteen lanes.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Engine {
    /// One input at a time, by the `sha1` and `sha2` crates.
    pub const ONE: Self = Self(Kind::One);

    /// Every engine that this processor can run, from narrow to wide.
    #[must_use]
    pub fn available() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        return [
            Some(Kind::One),
            ShaNi::detect().map(Kind::ShaNi),
            Avx2::detect().map(Kind::Avx2),
            Avx512Half::detect().map(Kind::Avx512Half),
            Avx512::detect().map(Kind::Avx512),
        ]
        .into_iter()
        .flatten()
        .map(Self)
        .collect();
        #[cfg(not(target_arch = "x86_64"))]
        vec![Self::ONE]
    }

    /// How many inputs it takes at once.
    #[must_use]
    pub const fn lanes(self) -> usize {
        match self.0 {
            Kind::One => 1,
            #[cfg(target_arch = "x86_64")]
            Kind::ShaNi(_) => 2,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(_) | Kind::Avx512Half(_) => 8,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(_) => 16,
        }
    }

    /// Its name, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.0 {
            Kind::One => "one at a time",
            #[cfg(target_arch = "x86_64")]
            Kind::ShaNi(_) => "sha-ni x2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(_) => "avx2 x8",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Half(_) => "avx512 x8",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(_) => "avx512 x16",
        }
    }

    /// Compresses the first `blocks` blocks of the first [`Self::lanes`] inputs.
    ///
    /// # Panics
    /// If one of those inputs is shorter.
    pub(super) fn compress<A: Algorithm>(
        self,
        state: &mut LaneState,
        inputs: &[Blocks<'_>; MAX_LANES],
        blocks: usize,
    ) {
        match self.0 {
            Kind::One => {
                let mut words = state.lane(0);
                A::compress_one(&mut words, &inputs[0][..blocks]);
                state.set_lane(0, words);
            }
            #[cfg(target_arch = "x86_64")]
            Kind::ShaNi(it) => A::compress_pair(it, state, [inputs[0], inputs[1]], blocks),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(it) => it.compress::<A>(state, inputs, blocks),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Half(it) => it.compress::<A>(state, inputs, blocks),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(it) => it.compress::<A>(state, inputs, blocks),
        }
    }
}

/// What to use for each number of inputs, from 0 to [`MAX_LANES`].
struct Choice {
    sha1: [Engine; MAX_LANES + 1],
    sha256: [Engine; MAX_LANES + 1],
}

static CHOICE: LazyLock<Choice> = LazyLock::new(|| {
    let engines = Engine::available();
    Choice {
        sha1: array::from_fn(|inputs| fastest(&engines, inputs, |it| it.mib_per_second().0)),
        sha256: array::from_fn(|inputs| fastest(&engines, inputs, |it| it.mib_per_second().1)),
    }
});

impl Engine {
    /// The fastest engine for SHA-1 of so many inputs of about the same length.
    #[must_use]
    pub fn for_sha1(inputs: usize) -> Self {
        CHOICE.sha1[inputs.min(MAX_LANES)]
    }

    /// The fastest engine for SHA-256 of so many inputs of about the same length.
    #[must_use]
    pub fn for_sha256(inputs: usize) -> Self {
        CHOICE.sha256[inputs.min(MAX_LANES)]
    }

    /// SHA-1 and SHA-256 with all lanes busy, measured on one core of a Zen 4 at 3.7 GHz with the
    /// `hash` benchmark. Only the ratios matter, and they are much alike elsewhere.
    fn mib_per_second(self) -> (usize, usize) {
        match self.0 {
            Kind::One if crates_are_accelerated() => (1_840, 1_710),
            Kind::One => (780, 370),
            #[cfg(target_arch = "x86_64")]
            Kind::ShaNi(_) => (3_150, 3_170),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(_) => (4_000, 1_750),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Half(_) => (5_930, 3_000),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(_) => (5_610, 3_090),
        }
    }
}

/// Whether the `sha1` and `sha2` crates find instructions for these hashes.
fn crates_are_accelerated() -> bool {
    #[cfg(target_arch = "x86_64")]
    return ShaNi::detect().is_some();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// The fastest engine where a lane without an input is lost. Of engines that are within a tenth of
/// the fastest, with no lane lost, it is the widest: this Zen 4 splits 512-bit instructions in two,
/// and others do not.
fn fastest(engines: &[Engine], inputs: usize, rate: impl Fn(Engine) -> usize) -> Engine {
    let busy = |it: Engine| rate(it) * it.lanes().min(inputs) / it.lanes();
    let best = engines.iter().map(|&it| busy(it)).max().unwrap_or_default();
    let good = |it: Engine| busy(it) == best || (it.lanes() <= inputs && busy(it) * 10 >= best * 9);
    engines.iter().copied().rfind(|&it| good(it)).unwrap_or(Engine::ONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_inputs_get_narrow_engines() {
        assert_eq!(Engine::for_sha1(1).lanes(), 1);
        assert_eq!(Engine::for_sha256(1).lanes(), 1);
        let mut before = 0;
        for inputs in 1..100 {
            let lanes = Engine::for_sha1(inputs).lanes();
            assert!(lanes >= before, "{inputs} inputs");
            before = lanes;
        }
    }

    #[test]
    fn lost_lanes_count_and_near_ties_go_to_the_widest() {
        let engines = Engine::available();
        let (Some(wide), Some(narrow)) = (engines.last().copied(), engines.first().copied()) else {
            panic!("no engine at all");
        };
        if wide.lanes() == 1 {
            return;
        }
        let pair = [narrow, wide];
        let rate = |it: Engine| if it.lanes() == 1 { 1_000 } else { 950 };
        assert_eq!(fastest(&pair, wide.lanes(), rate).lanes(), wide.lanes());
        let rate = |it: Engine| if it.lanes() == 1 { 1_000 } else { 800 };
        assert_eq!(fastest(&pair, wide.lanes(), rate).lanes(), 1);
        // One input in a wide engine would have to beat the narrow one alone.
        let rate = |it: Engine| if it.lanes() == 1 { 1_000 } else { it.lanes() * 950 };
        assert_eq!(fastest(&pair, 1, rate).lanes(), 1);
        let rate = |it: Engine| if it.lanes() == 1 { 1_000 } else { it.lanes() * 1_050 };
        assert_eq!(fastest(&pair, 1, rate).lanes(), wide.lanes());
    }
}
