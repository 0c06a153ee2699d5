//! What a server allows.

use core::time::Duration;

/// What one server, one host and one user may have and do.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections.
    pub connections: usize,
    /// Connections of one host.
    pub per_host: u32,
    /// Files that one user shares.
    pub files: u32,
    /// Messages of one user, in bursts of ten times as many; files that are shared count.
    pub messages_per_second: u32,
    /// Searches of one user, in bursts of ten times as many.
    pub searches_per_second: u32,
    /// Questions of one user to the index that wait for an answer, before he is read no further.
    pub questions: u32,
    /// Files of a user that are listed to another.
    pub browsed: usize,
    /// Users who are named that have a content.
    pub twins: usize,
    /// Names on a user's hotlist.
    pub hotlist: usize,
    /// Channels that a user is in.
    pub channels_per_user: usize,
    /// Channels.
    pub channels: usize,
    /// Users in a channel.
    pub channel_users: usize,
    /// For how long a connection may go without logging in.
    pub login_time: Duration,
    /// How often users are told how much there is.
    pub tick: Duration,
    /// Whether ports that users name are tried.
    pub probe: bool,
    /// Whether only registered names may log in.
    pub registered_only: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 120_000,
            per_host: 64,
            files: 5_000,
            messages_per_second: 200,
            searches_per_second: 5,
            questions: 32,
            browsed: 500,
            twins: 100,
            hotlist: 64,
            channels_per_user: 8,
            channels: 1_000,
            channel_users: 500,
            login_time: Duration::from_secs(60),
            tick: Duration::from_secs(60),
            probe: true,
            registered_only: false,
        }
    }
}
