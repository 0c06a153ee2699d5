//! Questions to the index: what is asked, for what, and what becomes of the answers. The machine goes
//! on with other users while the index works; answers come in the order of the questions.

use alloc::vec::Vec;

use machine::{ConnId, Cx};

use super::session::State;
use super::{Effect, Server, UserContact};
use crate::napster::index::{Counts, Index, Owner};
use crate::napster::{FileHash, Hit, Nick, Query, ServerMessage, SharedFile, Text, Twin};

/// What the machine asks of the index, each answered by [`Command::Indexed`](super::Command::Indexed).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A user is here.
    Enter(Owner),
    /// A user has gone.
    Leave(Nick),
    /// A user shares files.
    Share(Nick, Vec<SharedFile>),
    /// A user shares a file no longer.
    Unshare(Nick, Text),
    /// A search.
    Search(Query),
    /// What a user shares.
    Browse(Nick, usize),
    /// One file of a user, that is to be fetched.
    File(Nick, Text),
    /// Who has a content.
    Twins(FileHash, u64, usize),
    /// How much there is.
    Counts,
}

/// What the index says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Indexed {
    /// Done; of so many files.
    Done(u32),
    /// What a search found.
    Hits(Vec<Hit>),
    /// What a user shares.
    Files(Vec<SharedFile>),
    /// One file and its owner, if there is one.
    File(Option<(Owner, SharedFile)>),
    /// Who has a content.
    Twins(Vec<Twin>),
    /// How much there is.
    Counts(Counts),
    /// It could not answer.
    Failed,
}

/// For what the index was asked.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    /// Nobody waits.
    Keep,
    /// Files that a user shares: he is told if not all of them were new.
    Share(ConnId, u32),
    /// A file that is shared no longer.
    Unshare(ConnId),
    Search(ConnId),
    Browse(ConnId, Nick),
    Twins(ConnId),
    /// Somebody wants a file; whether by push.
    Download {
        conn: ConnId,
        from: Nick,
        name: Text,
        push: bool,
    },
    /// Its owner will send it, or has sent too many.
    Accept {
        conn: ConnId,
        to: Nick,
    },
    Limit {
        conn: ConnId,
        to: Nick,
        limit: u32,
    },
    Counts,
}

impl<C: UserContact> Server<C> {
    pub(super) fn ask(&mut self, ask: Ask, purpose: Purpose, cx: &mut Cx<'_, Self>) {
        let question = self.next_question;
        self.next_question += 1;
        self.asked.insert(question, purpose);
        cx.effect(Effect::Ask(question, ask));
    }

    /// A question of a user, who may have only so many unanswered.
    pub(super) fn ask_for(
        &mut self,
        conn: ConnId,
        ask: Ask,
        purpose: Purpose,
        cx: &mut Cx<'_, Self>,
    ) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        session.questions += 1;
        if session.questions >= self.limits.questions {
            cx.effect(Effect::Read(conn, false));
        }
        self.ask(ask, purpose, cx);
    }

    fn answered(&mut self, conn: ConnId, cx: &mut Cx<'_, Self>) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        session.questions = session.questions.saturating_sub(1);
        if session.questions + 1 == self.limits.questions && session.state == State::User {
            cx.effect(Effect::Read(conn, true));
        }
    }

    pub(super) fn on_indexed(&mut self, question: u64, said: Indexed, cx: &mut Cx<'_, Self>) {
        let Some(purpose) = self.asked.remove(&question) else { return };
        let failed = said == Indexed::Failed;
        let conn = match &purpose {
            Purpose::Keep => return,
            Purpose::Counts => {
                if let Indexed::Counts(counts) = said {
                    self.counts = counts;
                }
                return;
            }
            Purpose::Share(conn, _)
            | Purpose::Unshare(conn)
            | Purpose::Search(conn)
            | Purpose::Browse(conn, _)
            | Purpose::Twins(conn)
            | Purpose::Download { conn, .. }
            | Purpose::Accept { conn, .. }
            | Purpose::Limit { conn, .. } => *conn,
        };
        self.answered(conn, cx);
        if failed && self.sessions.contains_key(&conn) {
            self.complain(conn, "the index does not answer", cx);
        }
        match (purpose, said) {
            (Purpose::Share(_, asked), said) => {
                let new = if let Indexed::Done(new) = said { new } else { 0 };
                if let Some(session) = self.sessions.get_mut(&conn) {
                    session.shared -= (asked - new.min(asked)).min(session.shared);
                }
            }
            (Purpose::Unshare(_), Indexed::Done(gone)) => {
                if let Some(session) = self.sessions.get_mut(&conn) {
                    session.shared -= gone.min(session.shared);
                    if gone == 0 {
                        self.complain(conn, "you do not share that file", cx);
                    }
                }
            }
            (Purpose::Search(_), said) => {
                self.searches += 1;
                if let Indexed::Hits(hits) = said {
                    for hit in hits {
                        self.say(conn, &ServerMessage::Hit(hit), cx);
                    }
                }
                self.say(conn, &ServerMessage::SearchEnd, cx);
            }
            (Purpose::Browse(_, nick), said) => {
                if let Indexed::Files(files) = said {
                    for file in files {
                        self.say(conn, &ServerMessage::Browsed(nick.clone(), file), cx);
                    }
                }
                self.say(conn, &ServerMessage::BrowseEnd(nick), cx);
            }
            (Purpose::Twins(_), said) => {
                if let Indexed::Twins(twins) = said {
                    for twin in twins {
                        self.say(conn, &ServerMessage::Twin(twin), cx);
                    }
                }
                self.say(conn, &ServerMessage::ResumeEnd, cx);
            }
            (purpose, Indexed::File(found)) => self.on_file(purpose, found, cx),
            _ => {}
        }
    }
}

/// Puts a question of the machine to an index.
///
/// # Errors
/// When the index cannot answer.
pub fn answer<I: Index>(index: &mut I, ask: Ask) -> Result<Indexed, I::Error> {
    Ok(match ask {
        Ask::Enter(owner) => {
            index.enter(&owner)?;
            Indexed::Done(1)
        }
        Ask::Leave(nick) => {
            index.leave(&nick)?;
            Indexed::Done(1)
        }
        Ask::Share(nick, files) => Indexed::Done(index.share(&nick, &files)?),
        Ask::Unshare(nick, name) => Indexed::Done(u32::from(index.unshare(&nick, &name)?)),
        Ask::Search(query) => Indexed::Hits(index.search(&query)?),
        Ask::Browse(nick, limit) => Indexed::Files(index.browse(&nick, limit)?),
        Ask::File(nick, name) => Indexed::File(index.file(&nick, &name)?),
        Ask::Twins(hash, size, limit) => Indexed::Twins(index.twins(&hash, size, limit)?),
        Ask::Counts => Indexed::Counts(index.counts()?),
    })
}
