//! A leaf: it keeps in touch with its supernode, has its files in the directory there, shows its
//! vouchers, and looks for another supernode when this one is gone.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use machine::{Contact, Cx, Instant};

use super::config::{FILES_PER_BATCH, Fault};
use super::identity::Identity;
use super::reputation::{Mandate, Receipt, VOUCHERS_MAX, Voucher};
use super::seek::Former;
use super::{Event, FastTrack, Message, Role, Timer, is_silent};

#[derive(Clone, Debug)]
pub(super) struct Leaf<C> {
    pub(super) supernode: C,
    pub(super) session: u64,
    /// When the supernode was heard last.
    heard: Instant,
    /// Whom to ask when it is gone.
    pub(super) others: Box<[C]>,
    /// Round and batch that wait to be acknowledged.
    publishing: Option<(u32, u16)>,
    /// Whether the supernode has seen all vouchers.
    has_stood: bool,
}

impl<C> Leaf<C> {
    pub(super) const fn new(supernode: C, session: u64, others: Box<[C]>, now: Instant) -> Self {
        Self { supernode, session, heard: now, others, publishing: None, has_stood: false }
    }
}

impl<C: Contact, S: Identity> FastTrack<C, S> {
    /// Whether this is from the supernode, which is thus alive.
    pub(super) fn hear_supernode(&mut self, from: C, session: u64, now: Instant) -> bool {
        match &mut self.role {
            Role::Leaf(leaf) if leaf.supernode == from && leaf.session == session => {
                leaf.heard = now;
                true
            }
            _ => false,
        }
    }

    /// Everything that a new supernode must know.
    pub(super) fn settle(&mut self, cx: &mut Cx<'_, Self>) {
        if !self.user.library.is_empty() && !self.config.has(Fault::NoRepublish) {
            self.publish(cx);
        }
        self.stand(cx);
        self.ask_again(cx);
    }

    pub(super) fn leaf_tick(&mut self, cx: &mut Cx<'_, Self>) {
        let Role::Leaf(leaf) = &mut self.role else { return };
        if is_silent(&self.config, cx.now(), leaf.heard) && !self.config.has(Fault::NoFailover) {
            let named = core::mem::take(&mut leaf.others);
            // It may only have been out of reach, and nobody else may be left.
            let former =
                Former { supernode: leaf.supernode, session: leaf.session, is_silent: true };
            cx.emit(Event::Lost);
            return self.seek(Vec::new(), named, Some(former), cx);
        }
        let (digest, mandated) = (self.user.digest, self.mandate.is_some());
        cx.send(leaf.supernode, Message::Alive { session: leaf.session, digest, mandated });
        if !leaf.has_stood {
            self.stand(cx);
        }
    }

    /// Shows the vouchers.
    fn stand(&mut self, cx: &mut Cx<'_, Self>) {
        let Role::Leaf(leaf) = &mut self.role else { return };
        leaf.has_stood = true;
        if !self.vouchers.is_empty() {
            let (session, vouchers) = (leaf.session, self.vouchers.clone().into());
            cx.send(leaf.supernode, Message::Stand { session, vouchers });
        }
    }

    /// Begins to publish the whole library.
    pub(super) fn publish(&mut self, cx: &mut Cx<'_, Self>) {
        let round = cx.rng().next_u32();
        let Role::Leaf(leaf) = &mut self.role else { return };
        leaf.publishing = Some((round, 0));
        self.publish_batch(cx);
    }

    fn publish_batch(&mut self, cx: &mut Cx<'_, Self>) {
        let Role::Leaf(leaf) = &mut self.role else { return };
        let Some((round, batch)) = leaf.publishing else { return };
        let from = usize::from(batch) * FILES_PER_BATCH;
        // The first batch is sent even if it is empty: it strikes out what was there.
        if from > 0 && from >= self.user.library.len() {
            leaf.publishing = None;
            return;
        }
        let files = self.user.library[from..].iter().take(FILES_PER_BATCH).cloned().collect();
        let session = leaf.session;
        cx.send(leaf.supernode, Message::Publish { session, round, batch, files });
        cx.set_timer(self.config.timeout, Timer::Batch(round, batch));
    }

    pub(super) fn on_unacknowledged(&mut self, round: u32, batch: u16, cx: &mut Cx<'_, Self>) {
        if let Role::Leaf(leaf) = &self.role
            && leaf.publishing == Some((round, batch))
        {
            self.publish_batch(cx);
        }
    }

    pub(super) fn on_kept(
        &mut self,
        from: C,
        session: u64,
        round: u32,
        batch: u16,
        cx: &mut Cx<'_, Self>,
    ) {
        if !self.hear_supernode(from, session, cx.now()) {
            return;
        }
        let Role::Leaf(leaf) = &mut self.role else { return };
        if leaf.publishing == Some((round, batch)) {
            leaf.publishing = Some((round, batch.saturating_add(1)));
            self.publish_batch(cx);
        }
    }

    pub(super) fn on_well(
        &mut self,
        from: C,
        session: u64,
        in_sync: bool,
        others: Box<[C]>,
        cx: &mut Cx<'_, Self>,
    ) {
        if !self.hear_supernode(from, session, cx.now()) {
            return;
        }
        let Role::Leaf(leaf) = &mut self.role else { return };
        leaf.others = others;
        if !in_sync && leaf.publishing.is_none() && !self.config.has(Fault::NoRepublish) {
            self.publish(cx);
        }
    }

    pub(super) fn on_redirect(&mut self, from: C, session: u64, to: C, cx: &mut Cx<'_, Self>) {
        if !self.hear_supernode(from, session, cx.now()) {
            return;
        }
        let Role::Leaf(leaf) = &mut self.role else { return };
        let named = core::mem::take(&mut leaf.others);
        let former = Former { supernode: from, session, is_silent: false };
        self.seek(vec![to], named, Some(former), cx);
    }

    pub(super) fn give_receipt(&mut self, from: C, receipt: Receipt, cx: &mut Cx<'_, Self>) {
        match &self.role {
            Role::Leaf(leaf) => {
                let (session, receipt) = (leaf.session, Box::new(receipt));
                cx.send(leaf.supernode, Message::Receipt { session, uploader: from, receipt });
            }
            // A supernode does not countersign its own.
            Role::Out | Role::Seeking(_) | Role::Supernode(_) => {}
        }
    }

    /// Keeps a voucher, if it adds to the others.
    pub(super) fn on_voucher(&mut self, voucher: Voucher) {
        let all = self.config.has(Fault::CountAccomplices);
        let ours = voucher.receipt.uploader == self.identity.id()
            && (all || voucher.network != self.network(self.me));
        if !ours || !voucher.is_right::<S>() {
            return;
        }
        self.vouchers.retain(|other| {
            other.receipt.downloader != voucher.receipt.downloader
                && (all || other.network != voucher.network)
        });
        if self.vouchers.len() >= VOUCHERS_MAX {
            self.vouchers.remove(0);
        }
        self.vouchers.push(voucher);
        if let Role::Leaf(leaf) = &mut self.role {
            leaf.has_stood = false;
        }
    }

    pub(super) fn on_appoint(
        &mut self,
        from: C,
        session: u64,
        now: bool,
        mandate: Box<Mandate>,
        cx: &mut Cx<'_, Self>,
    ) {
        if !self.hear_supernode(from, session, cx.now()) || mandate.nominee != self.identity.id() {
            return;
        }
        self.mandate = Some(mandate);
        if now && let Role::Leaf(leaf) = &mut self.role {
            let others: Vec<_> =
                core::iter::once(from).chain(core::mem::take(&mut leaf.others)).collect();
            cx.send(from, Message::Bye { session });
            self.become_supernode(&others, cx);
        }
    }
}
