//! What Pastry's and Tapestry's messages have in common.

use dht::prefix::{Said, Word};

/// The same said among other contacts.
pub fn map<C, D, O, P>(said: Said<C, O>, to: impl Fn(C) -> D, own: impl Fn(O) -> P) -> Said<D, P> {
    let list = |contacts: Box<[C]>| -> Box<[D]> { contacts.into_iter().map(&to).collect() };
    Said::Word(match said {
        Said::Own(it) => return Said::Own(own(it)),
        Said::Word(Word::Ping) => Word::Ping,
        Said::Word(Word::Pong { member }) => Word::Pong { member },
        Said::Word(Word::Walk { level, member }) => Word::Walk { level, member },
        Said::Word(Word::Way { done, level, next, contacts }) => {
            Word::Way { done, level, next: list(next), contacts: list(contacts) }
        }
        Said::Word(Word::GetRow { level }) => Word::GetRow { level },
        Said::Word(Word::Row { level, contacts }) => Word::Row { level, contacts: list(contacts) },
        Said::Word(Word::Hello) => Word::Hello,
        Said::Word(Word::Goodbye { contacts }) => Word::Goodbye { contacts: list(contacts) },
    })
}
