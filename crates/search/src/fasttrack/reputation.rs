//! Reputation that is shown rather than claimed: receipts of uploads, signed by who downloaded and
//! countersigned by that one's supernode; the mandate of a supernode; and who is fit for one.
//!
//! What a node says of itself counts for nothing. How long it has been there its supernode has seen,
//! that it is reached others have tried, and how much and how fast it uploads its downloaders sign.
//! One downloader counts once, and so does one network of hosts, as seen by the supernodes that the
//! downloaders were at: accomplices need addresses in as many networks, and as many leaves that have
//! been there for a while.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use super::file::FileHash;
use super::identity::{Id, Identity, Signature};

/// Most vouchers that somebody shows.
pub const VOUCHERS_MAX: usize = 3;
/// Most that testify in a mandate.
pub const TESTIMONIES_MAX: usize = 2;

/// That somebody has uploaded a file, by the word of who has it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Who uploaded.
    pub uploader: Id,
    /// Who downloaded, and signs.
    pub downloader: Id,
    /// What.
    pub hash: FileHash,
    /// How many bytes of it.
    pub bytes: u64,
    /// How long that took, in milliseconds.
    pub millis: u32,
    /// Of the downloader.
    pub signature: Signature,
}

impl Receipt {
    /// Signs one.
    pub(super) fn sign(
        identity: &impl Identity,
        uploader: Id,
        hash: FileHash,
        bytes: u64,
        millis: u32,
    ) -> Self {
        let downloader = identity.id();
        let signature = Signature([0; 64]);
        let mut receipt = Self { uploader, downloader, hash, bytes, millis, signature };
        receipt.signature = identity.sign(&receipt.text());
        receipt
    }

    fn text(&self) -> Vec<u8> {
        let mut text = b"shoal fasttrack receipt\0".to_vec();
        text.extend(self.uploader.0);
        text.extend(self.downloader.0);
        text.extend(self.hash.sha1.0);
        text.extend(self.hash.tree.0);
        text.extend(self.bytes.to_be_bytes());
        text.extend(self.millis.to_be_bytes());
        text
    }

    /// Whether somebody other than the uploader has signed it.
    pub(super) fn is_right<S: Identity>(&self) -> bool {
        self.uploader != self.downloader
            && S::verify(&self.downloader, &self.text(), &self.signature)
    }

    /// Bytes per second.
    fn rate(&self) -> u64 {
        self.bytes.saturating_mul(1_000) / u64::from(self.millis.max(1))
    }
}

/// A receipt that the downloader's supernode has countersigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voucher {
    /// The receipt.
    pub receipt: Receipt,
    /// Which network the downloader is in, as its supernode sees it.
    pub network: u64,
    /// The supernode.
    pub supernode: Id,
    /// Of the supernode.
    pub signature: Signature,
}

impl Voucher {
    /// Countersigns a receipt of a leaf in `network`.
    pub(super) fn sign(identity: &impl Identity, receipt: Receipt, network: u64) -> Self {
        let signature = Signature([0; 64]);
        let mut voucher = Self { receipt, network, supernode: identity.id(), signature };
        voucher.signature = identity.sign(&voucher.text());
        voucher
    }

    fn text(&self) -> Vec<u8> {
        let mut text = b"shoal fasttrack voucher\0".to_vec();
        text.extend(self.receipt.signature.0);
        text.extend(self.network.to_be_bytes());
        text
    }

    /// Whether both signatures are right, and by three different nodes, the uploader among them.
    pub(super) fn is_right<S: Identity>(&self) -> bool {
        self.supernode != self.receipt.uploader
            && self.receipt.is_right::<S>()
            && S::verify(&self.supernode, &self.text(), &self.signature)
    }
}

/// That a node is reached, by the word of another that has tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Testimony {
    /// Who has tried.
    pub witness: Id,
    /// Of the witness, under `reach_text`.
    pub signature: Signature,
}

/// What a witness signs: it has reached `nominee` for `appointer`.
pub(super) fn reach_text(nominee: &Id, appointer: &Id) -> Vec<u8> {
    let mut text = b"shoal fasttrack reached\0".to_vec();
    text.extend(nominee.0);
    text.extend(appointer.0);
    text
}

/// That a node may be a supernode: who says so, and everything it was judged by that others can
/// judge again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mandate {
    /// Who may.
    pub nominee: Id,
    /// The supernode that says so, having seen for how long the node was there.
    pub appointer: Id,
    /// Of the appointer.
    pub signature: Signature,
    /// Receipts of uploads, at most [`VOUCHERS_MAX`].
    pub vouchers: Box<[Voucher]>,
    /// Who has reached the nominee, at most [`TESTIMONIES_MAX`].
    pub testimonies: Box<[Testimony]>,
}

impl Mandate {
    /// Appoints `nominee`.
    pub(super) fn sign(
        identity: &impl Identity,
        nominee: Id,
        vouchers: Box<[Voucher]>,
        testimonies: Box<[Testimony]>,
    ) -> Self {
        let signature = identity.sign(&appoint_text(&nominee));
        Self { nominee, appointer: identity.id(), signature, vouchers, testimonies }
    }

    /// Whether it is what it says, for a node in `network`, by `bar`.
    pub(super) fn is_right<S: Identity>(&self, network: u64, bar: &Bar) -> bool {
        let Self { nominee, appointer, signature, vouchers, testimonies } = self;
        let text = reach_text(nominee, appointer);
        let testifies = |at: usize, testimony: &Testimony| {
            let Testimony { witness, signature } = testimony;
            witness != nominee
                && witness != appointer
                && testimonies[..at].iter().all(|other| other.witness != *witness)
                && S::verify(witness, &text, signature)
        };
        let standing = Standing {
            uptime: bar.uptime,
            networks: distinct(*nominee, network, vouchers),
            rate: rate(vouchers),
        };
        appointer != nominee
            && standing.is_fit(bar)
            && testimonies.len() >= bar.witnesses
            && testimonies.iter().enumerate().all(|(at, one)| testifies(at, one))
            && S::verify(appointer, &appoint_text(nominee), signature)
            && vouchers.iter().all(Voucher::is_right::<S>)
    }
}

fn appoint_text(nominee: &Id) -> Vec<u8> {
    let mut text = b"shoal fasttrack mandate\0".to_vec();
    text.extend(nominee.0);
    text
}

/// In how many networks, its own aside, somebody has uploaded to different nodes.
pub(super) fn distinct(uploader: Id, network: u64, vouchers: &[Voucher]) -> usize {
    let counts = |at: usize, voucher: &Voucher| {
        let same = |other: &Voucher| {
            other.network == voucher.network
                || other.receipt.downloader == voucher.receipt.downloader
        };
        voucher.receipt.uploader == uploader
            && voucher.network != network
            && !vouchers[..at].iter().any(same)
    };
    vouchers.iter().enumerate().filter(|(at, voucher)| counts(*at, voucher)).count()
}

/// The median of the rates that downloaders measured, in bytes per second; the lower of two.
pub(super) fn rate(vouchers: &[Voucher]) -> u64 {
    let mut rates: Vec<_> = vouchers.iter().map(|voucher| voucher.receipt.rate()).collect();
    rates.sort_unstable();
    rates.get(rates.len().saturating_sub(1) / 2).copied().unwrap_or(0)
}

/// What a supernode knows of a leaf, none of it from the leaf alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// For how long it has been there, as seen by its supernode.
    pub uptime: Duration,
    /// In how many networks it has uploaded to different nodes.
    pub networks: usize,
    /// How fast, in bytes per second: the median of its vouchers.
    pub rate: u64,
}

/// What a leaf must have to become a supernode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// For how long it must have been there.
    pub uptime: Duration,
    /// In how many networks it must have uploaded to different nodes, at most [`VOUCHERS_MAX`].
    pub networks: usize,
    /// How fast, in bytes per second.
    pub rate: u64,
    /// How many others must have reached it, at most [`TESTIMONIES_MAX`].
    pub witnesses: usize,
}

/// Beyond this uptime tells no more.
const UPTIME_MAX: Duration = Duration::from_secs(24 * 3_600);

impl Standing {
    /// Whether it is enough.
    #[must_use]
    pub fn is_fit(&self, bar: &Bar) -> bool {
        self.uptime >= bar.uptime && self.networks >= bar.networks && self.rate >= bar.rate
    }

    /// Of two that are fit, the greater is taken. Twice the uptime counts as much as twice the rate,
    /// or as one more network.
    #[must_use]
    pub fn score(&self) -> u32 {
        let uptime = self.uptime.min(UPTIME_MAX).as_secs() + 1;
        uptime.ilog2() + (self.rate + 1).ilog2() + self.networks.min(VOUCHERS_MAX) as u32
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::super::identity::Nominal;
    use super::*;

    const BAR: Bar =
        Bar { uptime: Duration::from_secs(60), networks: 2, rate: 1_000, witnesses: 1 };

    fn voucher(uploader: u64, downloader: u64, supernode: u64, network: u64) -> Voucher {
        let uploader = Nominal(uploader).id();
        let hash = FileHash::of(1);
        let receipt = Receipt::sign(&Nominal(downloader), uploader, hash, 1 << 20, 1_000);
        Voucher::sign(&Nominal(supernode), receipt, network)
    }

    fn mandate(vouchers: Vec<Voucher>, witnesses: &[u64]) -> Mandate {
        let (nominee, appointer) = (Nominal(1).id(), Nominal(2));
        let text = reach_text(&nominee, &appointer.id());
        let testify = |witness: &u64| {
            let witness = Nominal(*witness);
            Testimony { witness: witness.id(), signature: witness.sign(&text) }
        };
        let testimonies = witnesses.iter().map(testify).collect();
        Mandate::sign(&appointer, nominee, vouchers.into(), testimonies)
    }

    #[test]
    fn mandates_need_distinct_networks_and_witnesses_and_right_signatures() {
        let good = || vec![voucher(1, 10, 2, 100), voucher(1, 11, 2, 101)];
        let right = |mandate: &Mandate| mandate.is_right::<Nominal>(1, &BAR);
        assert!(right(&mandate(good(), &[3])));
        for (why, vouchers, witnesses) in [
            ("no uploads", vec![], &[3][..]),
            ("one network", vec![voucher(1, 10, 2, 100), voucher(1, 11, 2, 100)], &[3]),
            ("one downloader", vec![voucher(1, 10, 2, 100), voucher(1, 10, 2, 101)], &[3]),
            ("its own network", vec![voucher(1, 10, 2, 100), voucher(1, 11, 2, 1)], &[3]),
            ("to itself", vec![voucher(1, 10, 2, 100), voucher(1, 1, 2, 101)], &[3]),
            ("countersigned itself", vec![voucher(1, 10, 2, 100), voucher(1, 11, 1, 101)], &[3]),
            ("another's uploads", vec![voucher(9, 10, 2, 100), voucher(9, 11, 2, 101)], &[3]),
            ("nobody reached it", good(), &[]),
            ("it reached itself", good(), &[1]),
            ("its appointer's word twice", good(), &[2]),
            ("one witness twice", good(), &[3, 3]),
        ] {
            assert!(!right(&mandate(vouchers, witnesses)), "{why}");
        }
        let mut forged = mandate(good(), &[3]);
        forged.vouchers[0].receipt.bytes += 1;
        assert!(!right(&forged), "the downloader has not signed this");
        let mut forged = mandate(good(), &[3]);
        forged.vouchers[0].network = 102;
        assert!(!right(&forged), "the supernode has not signed this");
        let mut forged = mandate(good(), &[3]);
        forged.testimonies[0].signature = Signature([7; 64]);
        assert!(!right(&forged), "the witness has not signed this");
        let mut forged = mandate(good(), &[3]);
        forged.appointer = Nominal(4).id();
        assert!(!right(&forged), "the appointer has not signed this");
    }

    #[test]
    fn standing_is_measured_against_the_bar() {
        let standing = Standing { uptime: Duration::from_secs(60), networks: 2, rate: 1_000 };
        assert!(standing.is_fit(&BAR));
        let short = Standing { uptime: Duration::from_secs(59), ..standing };
        let slow = Standing { rate: 999, ..standing };
        let few = Standing { networks: 1, ..standing };
        for poor in [short, slow, few] {
            assert!(!poor.is_fit(&BAR) && poor.score() <= standing.score(), "{poor:?}");
        }
        let ever = Standing { uptime: Duration::MAX, rate: u64::MAX - 1, ..standing };
        assert!(ever.score() < 128);
        assert_eq!(rate(&[voucher(1, 2, 3, 4)]), 1 << 20);
        assert_eq!(rate(&[]), 0);
    }
}
