//! What a servent says of itself in a handshake, and what it makes of what it hears: who is leaf
//! and who is ultrapeer (Ultrapeers 1.0, section 2.3). No state.

use alloc::string::String;
use core::net::{IpAddr, SocketAddr};

use super::super::Guid;
use super::{Block, Start, TRY_MAX};

/// What a servent is to its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Hidden behind ultrapeers, which send it what it can answer.
    Leaf,
    /// Carries the traffic of others.
    Ultrapeer,
}

/// Whom a servent has room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Leaves.
    pub leaves: bool,
    /// Ultrapeers.
    pub ultrapeers: bool,
}

/// What a servent says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What it is.
    pub role: Role,
    /// Whom it has room for.
    pub room: Room,
    /// Whether it would become a leaf if it is told that no ultrapeer is needed.
    pub yielding: bool,
    /// Its program and version.
    pub user_agent: String,
    /// Its name.
    pub guid: Guid,
    /// Where it accepts connections, if it does.
    pub listen: Option<SocketAddr>,
    /// Whether it reads and writes what is deflated.
    pub deflate: bool,
    /// Ultrapeers that it would be connected to, as an ultrapeer.
    pub degree: u16,
    /// The longest life it wants a query to have.
    pub max_ttl: u8,
}

/// What two sides made out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// What we are on this connection.
    pub ours: Role,
    /// What the other side is.
    pub theirs: Role,
    /// Whether the other side takes routing tables in the role it has.
    pub tables: bool,
}

impl Profile {
    /// The first block, to a servent at `to`.
    #[must_use]
    pub fn open(&self, to: IpAddr) -> Block {
        self.describe(Block::connect(), to)
    }

    /// The answer to the first block of a servent at `from`: yes, or no and `others` to try.
    #[must_use]
    pub fn answer(&self, theirs: &Block, from: IpAddr, others: &[SocketAddr]) -> Block {
        let refuse = |reason| tried(self.describe(Block::status(503, reason), from), others);
        let accept = || {
            let block = self.describe(Block::status(200, "OK"), from);
            let block = if self.deflate && theirs.accepts_deflate() {
                block.with("Content-Encoding", "deflate")
            } else {
                block
            };
            tried(block, others)
        };
        let needed = |block: Block, is| block.with("X-Ultrapeer-Needed", yes(is));
        match (self.role, role(theirs)) {
            (Role::Leaf, Role::Leaf) => refuse("Shielded leaf node"),
            (Role::Leaf, Role::Ultrapeer) if self.room.ultrapeers => accept(),
            (Role::Ultrapeer, Role::Leaf) if self.room.leaves => accept(),
            (Role::Ultrapeer, Role::Ultrapeer) if self.room.ultrapeers => needed(accept(), true),
            (Role::Ultrapeer, Role::Ultrapeer) if self.room.leaves => needed(accept(), false),
            _ => refuse("Too many connections"),
        }
    }

    /// The last word to an answer; `None` if the answer was no, which ends it.
    #[must_use]
    pub fn confirm(&self, theirs: &Block) -> Option<Block> {
        if !theirs.is_yes() {
            return None;
        }
        let mut block = Block::status(200, "OK");
        match (self.role, role(theirs)) {
            (Role::Leaf, Role::Leaf) => return Some(Block::status(503, "Not an ultrapeer")),
            (Role::Ultrapeer, Role::Ultrapeer)
                if theirs.flag("X-Ultrapeer-Needed") == Some(false) =>
            {
                if !self.yielding {
                    return Some(Block::status(503, "Staying an ultrapeer"));
                }
                block = block.with("X-Ultrapeer", yes(false));
            }
            _ => {}
        }
        if self.deflate && theirs.accepts_deflate() {
            block = block.with("Content-Encoding", "deflate");
        }
        Some(block)
    }

    fn describe(&self, block: Block, other: IpAddr) -> Block {
        let mut block = block.with("User-Agent", &self.user_agent);
        if let Some(listen) = self.listen {
            block = block.with("Listen-IP", listen);
        }
        block = block
            .with("Remote-IP", other)
            .with("GUID", self.guid)
            .with("X-Ultrapeer", yes(self.role == Role::Ultrapeer))
            .with("X-Query-Routing", "0.2")
            .with("X-Ultrapeer-Query-Routing", "0.1")
            .with("X-Dynamic-Querying", "0.1")
            .with("X-Degree", self.degree)
            .with("X-Max-TTL", self.max_ttl)
            .with("GGEP", "0.5")
            .with("Vendor-Message", "0.2")
            .with("Pong-Caching", "0.1")
            .with("Bye-Packet", "0.1");
        if self.deflate {
            block = block.with("Accept-Encoding", "deflate");
        }
        block
    }
}

impl Agreement {
    /// What the blocks of both sides come to, each in the order in which they were said. `None`
    /// if somebody said no, or both would be leaves.
    #[must_use]
    pub fn of(ours: &[&Block], theirs: &[&Block]) -> Option<Self> {
        let said_no = |block: &&Block| block.start != Start::Connect && !block.is_yes();
        if ours.iter().chain(theirs).any(said_no) {
            return None;
        }
        let last = |blocks: &[&Block]| {
            let said = blocks.iter().rev().find_map(|block| block.flag("X-Ultrapeer"));
            if said == Some(false) { Role::Leaf } else { Role::Ultrapeer }
        };
        let (ours, their_role) = (last(ours), last(theirs));
        let field = match (ours, their_role) {
            (Role::Leaf, Role::Leaf) => return None,
            (Role::Ultrapeer, Role::Ultrapeer) => "X-Ultrapeer-Query-Routing",
            _ => "X-Query-Routing",
        };
        let tables = their_role == Role::Ultrapeer
            && theirs.iter().any(|block| block.version(field).is_some());
        Some(Self { ours, theirs: their_role, tables })
    }
}

/// What a servent says it is. Those of before ultrapeers carry traffic as ultrapeers do.
fn role(block: &Block) -> Role {
    if block.flag("X-Ultrapeer") == Some(false) { Role::Leaf } else { Role::Ultrapeer }
}

const fn yes(is: bool) -> &'static str {
    if is { "True" } else { "False" }
}

fn tried(block: Block, others: &[SocketAddr]) -> Block {
    if others.is_empty() {
        return block;
    }
    let mut list = String::new();
    for other in others.iter().take(TRY_MAX) {
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(&alloc::format!("{other}"));
    }
    block.with("X-Try-Ultrapeers", list)
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    const IP: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn profile(role: Role, leaves: bool, ultrapeers: bool) -> Profile {
        Profile {
            role,
            room: Room { leaves, ultrapeers },
            yielding: true,
            user_agent: "Shoal".into(),
            guid: Guid([1; 16]),
            listen: Some(SocketAddr::new(IP, 6_346)),
            deflate: true,
            degree: 32,
            max_ttl: 4,
        }
    }

    #[test]
    fn roles_come_out_as_both_sides_want_them() {
        use Role::{Leaf, Ultrapeer};
        let full = profile(Ultrapeer, false, false);
        let table = [
            (profile(Leaf, false, true), profile(Ultrapeer, true, true), Some((Leaf, Ultrapeer))),
            (profile(Ultrapeer, true, true), profile(Leaf, false, true), Some((Ultrapeer, Leaf))),
            (profile(Leaf, false, true), profile(Leaf, false, true), None),
            (profile(Leaf, false, true), full.clone(), None),
            (profile(Ultrapeer, true, true), full, None),
            (
                profile(Ultrapeer, true, true),
                profile(Ultrapeer, true, true),
                Some((Ultrapeer, Ultrapeer)),
            ),
            (
                profile(Ultrapeer, true, true),
                profile(Ultrapeer, true, false),
                Some((Leaf, Ultrapeer)),
            ),
            (
                Profile { yielding: false, ..profile(Ultrapeer, true, true) },
                profile(Ultrapeer, true, false),
                None,
            ),
        ];
        for (dialer, listener, expected) in table {
            let others = [SocketAddr::new(IP, 1), SocketAddr::new(IP, 2)];
            let open = dialer.open(IP);
            let answer = listener.answer(&open, IP, &others);
            assert_eq!(answer.try_ultrapeers().count(), 2);
            let confirm = dialer.confirm(&answer);
            assert_eq!(confirm.is_some(), answer.is_yes());
            let Some(confirm) = confirm else {
                assert_eq!(expected, None);
                continue;
            };
            let at_dialer = Agreement::of(&[&open, &confirm], &[&answer]);
            let at_listener = Agreement::of(&[&answer], &[&open, &confirm]);
            assert_eq!(at_dialer.map(|of| (of.ours, of.theirs)), expected);
            assert_eq!(at_listener.map(|of| (of.theirs, of.ours)), expected);
            if let Some(agreement) = at_dialer {
                assert_eq!(agreement.tables, agreement.theirs == Ultrapeer);
                assert!(answer.is_deflated() && confirm.is_deflated());
            }
        }
    }

    #[test]
    fn nobody_deflates_for_those_who_cannot_read_it() {
        let plain = Profile { deflate: false, ..profile(Role::Leaf, false, true) };
        let hub = profile(Role::Ultrapeer, true, true);
        let answer = hub.answer(&plain.open(IP), IP, &[]);
        assert!(answer.is_yes() && !answer.is_deflated());
        assert!(!plain.confirm(&answer).unwrap().is_deflated());
    }
}
