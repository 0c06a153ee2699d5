//! What the users of machines behind a socket hold, on any thread: commands go in, answers and
//! events come out.

use std::fmt;
use std::net::SocketAddr;

use tokio::sync::{mpsc, oneshot};

use super::driver::Counters;
use super::{Command, Event, Protocol};

/// Commands that wait for the driver at most; whoever asks then waits too.
const COMMANDS_MAX: usize = 256;
/// Answers to one command, and unasked events, that wait for their reader at most.
const EVENTS_MAX: usize = 1_024;

type Look<P> = Box<dyn FnOnce(&[<P as Protocol>::Machine], &Counters) + Send>;

/// What a handle asks of the driver.
pub(super) enum Control<P: Protocol> {
    /// A command for one of the machines.
    Command { node: usize, command: Command<P>, answers: Option<mpsc::Sender<Event<P>>> },
    /// Somebody awaits no more answers to a command.
    Unheard,
    /// Look at the machines between two inputs.
    Look(Look<P>),
    /// End, at once.
    Stop,
}

/// The driver is gone, and its machines with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node has ended")]
pub struct Gone;

/// The machines behind one socket, from outside. A clone is the same. When the last is dropped the
/// machines end without a farewell.
pub struct Handle<P: Protocol> {
    controls: mpsc::Sender<Control<P>>,
    address: SocketAddr,
}

impl<P: Protocol> Clone for Handle<P> {
    fn clone(&self) -> Self {
        Self { controls: self.controls.clone(), address: self.address }
    }
}

impl<P: Protocol> fmt::Debug for Handle<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The driver's ends.
pub(super) struct Ends<P: Protocol> {
    pub(super) controls: mpsc::Receiver<Control<P>>,
    pub(super) events: mpsc::Sender<(usize, Event<P>)>,
}

/// A handle, the events it does not ask for, and the driver's ends of both.
pub(super) fn channels<P: Protocol>(address: SocketAddr) -> (Handle<P>, Events<P>, Ends<P>) {
    let (to_driver, controls) = mpsc::channel(COMMANDS_MAX);
    let (events, from_driver) = mpsc::channel(EVENTS_MAX);
    let handle = Handle { controls: to_driver, address };
    (handle, Events(from_driver), Ends { controls, events })
}

impl<P: Protocol> Handle<P> {
    /// The socket's own address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Gives a command to the machine `node`; its answers come one by one.
    ///
    /// # Errors
    /// If the driver has ended.
    pub async fn ask_at(&self, node: usize, command: Command<P>) -> Result<Answers<P>, Gone> {
        let (answers, comes) = mpsc::channel(EVENTS_MAX);
        let control = Control::Command { node, command, answers: Some(answers) };
        self.controls.send(control).await.map_err(|_| Gone)?;
        Ok(Answers { comes, controls: self.controls.downgrade() })
    }

    /// As [`Self::ask_at`], of the first machine.
    ///
    /// # Errors
    /// If the driver has ended.
    pub async fn ask(&self, command: Command<P>) -> Result<Answers<P>, Gone> {
        self.ask_at(0, command).await
    }

    /// Gives a command to the first machine and waits for its last answer.
    ///
    /// # Errors
    /// If the driver ends before.
    pub async fn call(&self, command: Command<P>) -> Result<Event<P>, Gone> {
        self.call_at(0, command).await
    }

    /// As [`Self::call`], of the machine `node`.
    ///
    /// # Errors
    /// If the driver ends before.
    pub async fn call_at(&self, node: usize, command: Command<P>) -> Result<Event<P>, Gone> {
        let mut answers = self.ask_at(node, command).await?;
        let mut last = None;
        while let Some(event) = answers.next().await {
            last = Some(event);
        }
        last.ok_or(Gone)
    }

    /// Gives a command to the first machine, whose answers nobody waits for. If too many commands
    /// wait already, this one is lost.
    pub fn tell(&self, command: Command<P>) {
        let control = Control::Command { node: 0, command, answers: None };
        // A driver that has ended has nobody to tell.
        let _ = self.controls.try_send(control);
    }

    /// Looks at the machines between two inputs, and at the socket's counters.
    ///
    /// # Errors
    /// If the driver has ended.
    pub async fn look<R: Send + 'static>(
        &self,
        look: impl FnOnce(&[P::Machine], &Counters) -> R + Send + 'static,
    ) -> Result<R, Gone> {
        let (seen, comes) = oneshot::channel();
        let look: Look<P> = Box::new(move |machines, counters| {
            // Whoever asked may have gone away.
            let _ = seen.send(look(machines, counters));
        });
        self.controls.send(Control::Look(look)).await.map_err(|_| Gone)?;
        comes.await.map_err(|_| Gone)
    }

    /// Ends the machines at once, as a crash would, and closes the socket. A farewell is a command
    /// of the machine's, to be given before.
    pub async fn stop(&self) {
        // What has ended already needs no end.
        let _ = self.controls.send(Control::Stop).await;
        self.controls.closed().await;
    }
}

/// The answers to one command, which may be called off when this is dropped before the last.
#[derive(Debug)]
pub struct Answers<P: Protocol> {
    comes: mpsc::Receiver<Event<P>>,
    controls: mpsc::WeakSender<Control<P>>,
}

impl<P: Protocol> Drop for Answers<P> {
    fn drop(&mut self) {
        // The last has come.
        if self.comes.is_closed() {
            return;
        }
        self.comes.close();
        if let Some(controls) = self.controls.upgrade() {
            // If too many commands wait, whoever goes away next says it for all.
            let _ = controls.try_send(Control::Unheard);
        }
    }
}

impl<P: Protocol> Answers<P> {
    /// The next answer; `None` after the last, and when the driver has ended.
    pub async fn next(&mut self) -> Option<Event<P>> {
        self.comes.recv().await
    }
}

/// What machines tell without having been asked, with the number of the machine.
#[derive(Debug)]
pub struct Events<P: Protocol>(mpsc::Receiver<(usize, Event<P>)>);

impl<P: Protocol> Events<P> {
    /// The next one; `None` when the driver has ended.
    pub async fn next(&mut self) -> Option<(usize, Event<P>)> {
        self.0.recv().await
    }
}
