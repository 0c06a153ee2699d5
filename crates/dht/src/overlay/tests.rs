//! Who may store what at a node of any overlay.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use machine::dht::Contact;
use machine::{Cx, DatagramMachine, Instant, Outbox, Output, Rng};

use super::{Item, Topology, Version};
use crate::testing::Short;
use crate::{can, kelips, pastry, tapestry, viceroy};

const OFFERER: Short = Short(0x2000);
const STRANGER: Short = Short(0x3000);

fn item(place: u16) -> Item {
    let value = [1, 2, 3].as_slice().into();
    Item { key: Short(place).key(), version: Version::new(1, &[1, 2, 3]), seconds_left: 60, value }
}

type Overlay<T> = super::Overlay<T>;
type Message<T> = super::Message<Short, <T as Topology>::Said>;

/// What `node` says to what `from` says.
fn hear<T: Topology<Contact = Short>>(
    node: &mut Overlay<T>,
    from: Short,
    message: Message<T>,
) -> Vec<(Short, Message<T>)> {
    let (mut rng, mut outbox) = (Rng::new(1), Outbox::new());
    node.on_message(from, message, &mut Cx::new(Instant::ZERO, &mut rng, &mut outbox));
    let sent = outbox.drain().filter_map(|output| match output {
        Output::Effect(send) => Some((send.to, send.message)),
        _ => None,
    });
    sent.collect()
}

/// The token with which `node` wants a value of the first of `places` from `from`.
fn offer<T: Topology<Contact = Short>>(node: &mut Overlay<T>, from: Short, places: &[u16]) -> u32 {
    let keys = places.iter().map(|&place| (Short(place).key(), Version::new(1, &[1, 2, 3])));
    let said = hear(node, from, Message::<T>::Offer { tag: 7, put: false, keys: keys.collect() });
    let want = said.iter().find_map(|(to, said)| match said {
        Message::<T>::Want { tag: 7, bits, token, .. } => Some((*to, *bits, *token)),
        _ => None,
    });
    let (to, bits, token) = want.expect("an answer");
    assert_eq!((to, bits & 1), (from, 1));
    token
}

/// Whether `node` stores and confirms what `from` gives with `token`.
fn give<T: Topology<Contact = Short>>(
    node: &mut Overlay<T>,
    from: Short,
    token: u32,
    place: u16,
) -> bool {
    let said = hear(node, from, Message::<T>::Give { tag: 8, token, item: Box::new(item(place)) });
    let confirmed =
        said.iter().any(|(to, said)| *to == from && matches!(said, Message::<T>::Kept { tag: 8 }));
    assert_eq!(node.value(&Short(place).key()).is_some(), confirmed);
    confirmed
}

fn takes_only_what_it_wanted<T>(mut node: Overlay<T>)
where
    T: Topology<Contact = Short>,
{
    assert!(node.is_member());
    for token in [0, 1, u32::MAX] {
        assert!(!give(&mut node, OFFERER, token, 0x1001), "unasked");
    }
    let token = offer(&mut node, OFFERER, &[0x1001, 0x1002]);
    assert!(!give(&mut node, STRANGER, token, 0x1001), "a forged sender, or another");
    assert!(!give(&mut node, OFFERER, token ^ 1, 0x1001), "a guessed token");
    assert!(!give(&mut node, OFFERER, token, 0x1003), "what was not offered");
    assert!(give(&mut node, OFFERER, token, 0x1001));
    assert!(give(&mut node, OFFERER, token, 0x1002));
    assert_eq!(node.keys().count(), 2);
}

#[test]
fn kr_13_values_that_were_not_wanted_of_their_sender_are_not_stored() {
    let ring = [Short(0x1000), Short(0x9000)];
    let rtt = |_, _| 1;
    takes_only_what_it_wanted(pastry::Pastry::standing(&ring, 0, Arc::default(), 8, &rtt));
    takes_only_what_it_wanted(tapestry::Tapestry::standing(&ring, 0, Arc::default(), 8, &rtt));
    let kelips = kelips::Standing::new(&ring, Arc::default());
    takes_only_what_it_wanted(kelips.node(ring[0]));
    let viceroy = viceroy::Standing::new(&ring, Arc::default());
    takes_only_what_it_wanted(viceroy.node(0));
    let torus = can::Standing::new(&ring, &mut Rng::new(1), Arc::default());
    let (zone, node) = torus.zones().next().expect("a zone");
    takes_only_what_it_wanted(torus.node(zone, node, |_, _| 1));
}
