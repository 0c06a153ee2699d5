//! An index that several servers share, in a database of PostgreSQL: its full text search finds names
//! by their words. What lives here is the schema and the questions; words are cut as the index in
//! memory cuts them, so that both find the same.
//!
//! Users belong to the server where they are logged in; names are unique per server alone, and a
//! server's own users come first. Connections are not encrypted: the database is to be reached by a
//! socket of the system or by a network that is trusted.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use postgres::types::ToSql;
use postgres::{Client, Config, NoTls, Row, Statement};
use search::napster::index::{Counts, Index, Owner, words};
use search::napster::{FileHash, Filter, Hit, LinkSpeed, MediaType, Nick, Query, SharedFile};
use search::napster::{Text, Twin};

/// How long the database may take to accept a connection.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How long it may look for an answer: while it does, everybody waits.
const STATEMENT_TIME: Duration = Duration::from_secs(10);
/// What keeps servers that begin at once from making the same table.
const LOCK: i64 = 0x5348_4f41_4c4e_4150;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS shoal_owner (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    server text NOT NULL,
    nick text NOT NULL,
    spelt text NOT NULL,
    address bigint NOT NULL,
    port integer NOT NULL,
    link smallint NOT NULL,
    files bigint NOT NULL DEFAULT 0,
    bytes numeric NOT NULL DEFAULT 0,
    UNIQUE (nick, server)
);
CREATE TABLE IF NOT EXISTS shoal_file (
    owner bigint NOT NULL REFERENCES shoal_owner ON DELETE CASCADE,
    name bytea NOT NULL,
    words tsvector NOT NULL,
    hash bytea NOT NULL,
    size bigint NOT NULL,
    bitrate bigint NOT NULL,
    frequency bigint NOT NULL,
    seconds bigint NOT NULL,
    media smallint NOT NULL,
    PRIMARY KEY (owner, name)
);
CREATE INDEX IF NOT EXISTS shoal_file_words ON shoal_file USING gin (words);
CREATE INDEX IF NOT EXISTS shoal_file_hash ON shoal_file (hash, size);
";

const ENTER: &str = "
INSERT INTO shoal_owner (server, nick, spelt, address, port, link) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (nick, server) DO UPDATE
SET spelt = excluded.spelt, address = excluded.address, port = excluded.port, link = excluded.link";

const SHARE: &str = "
WITH me AS (SELECT id FROM shoal_owner WHERE nick = $2 AND server = $1),
new AS (
    INSERT INTO shoal_file
    SELECT me.id, name, array_to_tsvector(string_to_array(words, ' ')), hash, size, bitrate,
        frequency, seconds, media
    FROM me, unnest($3::bytea[], $4::text[], $5::bytea[], $6::bigint[], $7::bigint[], $8::bigint[],
        $9::bigint[], $10::smallint[])
        AS told (name, words, hash, size, bitrate, frequency, seconds, media)
    ON CONFLICT DO NOTHING
    RETURNING size
), total AS (SELECT count(*) AS files, coalesce(sum(size), 0) AS bytes FROM new)
UPDATE shoal_owner
SET files = shoal_owner.files + total.files, bytes = shoal_owner.bytes + total.bytes
FROM total, me WHERE shoal_owner.id = me.id RETURNING total.files";

const UNSHARE: &str = "
WITH gone AS (
    DELETE FROM shoal_file USING shoal_owner
    WHERE owner = id AND nick = $2 AND server = $1 AND name = $3 RETURNING id, size
)
UPDATE shoal_owner SET files = files - 1, bytes = bytes - gone.size
FROM gone WHERE shoal_owner.id = gone.id RETURNING 1";

const SEARCH: &str = "
SELECT name, hash, size, bitrate, frequency, seconds, media, spelt, address, port, link
FROM shoal_file JOIN shoal_owner ON owner = id
WHERE words @@ $1::text::tsquery AND ($2::smallint IS NULL OR media = $2)
    AND size BETWEEN $3 AND $4 AND bitrate BETWEEN $5 AND $6 AND frequency BETWEEN $7 AND $8
    AND link BETWEEN $9 AND $10
LIMIT $11";

const BROWSE: &str = "
SELECT name, hash, size, bitrate, frequency, seconds, media
FROM shoal_file
WHERE owner = (SELECT id FROM shoal_owner WHERE nick = $2 ORDER BY server <> $1, id LIMIT 1)
LIMIT $3";

const FILE: &str = "
SELECT name, hash, size, bitrate, frequency, seconds, media, spelt, address, port, link
FROM shoal_file JOIN shoal_owner ON owner = id
WHERE nick = $2 AND name = $3 ORDER BY server <> $1, id LIMIT 1";

const TWINS: &str = "
SELECT name, hash, size, bitrate, frequency, seconds, media, spelt, address, port, link
FROM shoal_file JOIN shoal_owner ON owner = id WHERE hash = $1 AND size = $2 LIMIT $3";

const COUNTS: &str = "
SELECT count(*), coalesce(sum(files), 0)::bigint,
    least(coalesce(sum(bytes), 0), 9223372036854775807)::bigint
FROM shoal_owner";

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// Where it is cannot be read, or it cannot be reached, or refuses.
    #[error("the database of the index: {}", tell(.0))]
    Refused(#[from] postgres::Error),
    /// Somebody else has written what we do not understand.
    #[error("the database of the index holds a {0} that is none")]
    Malformed(&'static str),
}

/// What went wrong, with what the database itself says of it.
fn tell(error: &postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |said| format!("{error}: {said}"))
}

/// The index.
pub struct DatabaseIndex {
    config: Config,
    client: Client,
    /// What was asked before over this connection.
    prepared: HashMap<&'static str, Statement>,
    server: String,
}

impl DatabaseIndex {
    /// Connects to the database at `url` (`postgres://...`, or `host=... user=...`) and makes the
    /// tables that are not there. `server` is by what this server's users are told from others'.
    ///
    /// # Errors
    /// When it cannot be reached, or the tables cannot be made.
    pub fn open(url: &str, server: &str) -> Result<Self, DatabaseError> {
        let mut config: Config = url.parse()?;
        config.connect_timeout(CONNECT_TIME).application_name("shoal");
        let mut client = connect(&config)?;
        let mut making = client.transaction()?;
        making.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK])?;
        making.batch_execute(SCHEMA)?;
        making.commit()?;
        Ok(Self { config, client, prepared: HashMap::new(), server: server.to_owned() })
    }

    /// The users of this server whom an earlier run has left there.
    ///
    /// # Errors
    /// When the database does not answer.
    pub fn owners(&mut self) -> Result<Vec<Nick>, DatabaseError> {
        let server = self.server.clone();
        let rows = self.query("SELECT spelt FROM shoal_owner WHERE server = $1", &[&server])?;
        rows.iter().map(|row| nick(row.try_get(0)?)).collect()
    }

    /// Asks, over a new connection if the old one has ended.
    fn query(
        &mut self,
        what: &'static str,
        with: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, DatabaseError> {
        let answer = self.ask(what, with);
        if answer.is_ok() || !self.client.is_closed() {
            return Ok(answer?);
        }
        self.client = connect(&self.config)?;
        self.prepared.clear();
        // Every question may be put twice, because nothing in it adds to what is there.
        Ok(self.ask(what, with)?)
    }

    fn ask(
        &mut self,
        what: &'static str,
        with: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, postgres::Error> {
        let prepared = match self.prepared.entry(what) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(self.client.prepare(what)?),
        };
        self.client.query(prepared, with)
    }
}

fn connect(config: &Config) -> Result<Client, DatabaseError> {
    let mut client = config.connect(NoTls)?;
    client.batch_execute(&format!("SET statement_timeout = {}", STATEMENT_TIME.as_millis()))?;
    Ok(client)
}

/// How names of users are compared.
fn folded(nick: &Nick) -> String {
    nick.as_str().to_ascii_lowercase()
}

fn nick(spelt: &str) -> Result<Nick, DatabaseError> {
    Nick::new(spelt.as_bytes()).ok_or(DatabaseError::Malformed("name"))
}

/// A number as the database has room for it.
fn clamped(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn bounds(filter: &Filter) -> (i64, i64) {
    (clamped(filter.min), clamped(filter.max))
}

/// The words of a name, each once.
fn words_of(name: &Text) -> String {
    let mut list: Vec<String> = Vec::new();
    words(name.as_bytes(), |word| list.push(word.to_owned()));
    list.sort_unstable();
    list.dedup();
    list.join(" ")
}

/// A search as the database reads it.
fn tsquery(words: &[String]) -> String {
    let quoted = words.iter().map(|word| format!("'{}'", word.replace(['\'', '\\'], "")));
    quoted.collect::<Vec<_>>().join(" & ")
}

fn number(row: &Row, column: &str) -> Result<u32, DatabaseError> {
    let number: i64 = row.try_get(column)?;
    u32::try_from(number).map_err(|_| DatabaseError::Malformed("number"))
}

fn file(row: &Row) -> Result<SharedFile, DatabaseError> {
    let media: i16 = row.try_get("media")?;
    let media = usize::try_from(media).ok().and_then(|number| MediaType::ALL.get(number));
    let hash = FileHash::from_bytes(row.try_get("hash")?);
    let size: i64 = row.try_get("size")?;
    Ok(SharedFile {
        name: Text::from(row.try_get::<_, &[u8]>("name")?),
        hash: hash.ok_or(DatabaseError::Malformed("hash"))?,
        size: u64::try_from(size).map_err(|_| DatabaseError::Malformed("size"))?,
        bitrate: number(row, "bitrate")?,
        frequency: number(row, "frequency")?,
        seconds: number(row, "seconds")?,
        media: *media.ok_or(DatabaseError::Malformed("kind of file"))?,
    })
}

fn owner(row: &Row) -> Result<Owner, DatabaseError> {
    let address = Ipv4Addr::from_bits(number(row, "address")?);
    let port: i32 = row.try_get("port")?;
    let port = u16::try_from(port).map_err(|_| DatabaseError::Malformed("port"))?;
    let link: i16 = row.try_get("link")?;
    let link = u8::try_from(link).ok().and_then(LinkSpeed::new);
    Ok(Owner {
        nick: nick(row.try_get("spelt")?)?,
        address: SocketAddrV4::new(address, port),
        link: link.ok_or(DatabaseError::Malformed("speed of a line"))?,
    })
}

impl Index for DatabaseIndex {
    type Error = DatabaseError;

    fn enter(&mut self, owner: &Owner) -> Result<(), DatabaseError> {
        let (server, nick) = (self.server.clone(), folded(&owner.nick));
        let (address, port) = (i64::from(owner.address.ip().to_bits()), owner.address.port());
        let (port, link) = (i32::from(port), i16::from(owner.link.number()));
        let spelt = owner.nick.as_str();
        self.query(ENTER, &[&server, &nick, &spelt, &address, &port, &link])?;
        Ok(())
    }

    fn leave(&mut self, nick: &Nick) -> Result<(), DatabaseError> {
        let (server, nick) = (self.server.clone(), folded(nick));
        let leave = "DELETE FROM shoal_owner WHERE server = $1 AND nick = $2";
        self.query(leave, &[&server, &nick])?;
        Ok(())
    }

    fn share(&mut self, nick: &Nick, files: &[SharedFile]) -> Result<u32, DatabaseError> {
        let (server, nick) = (self.server.clone(), folded(nick));
        let names: Vec<&[u8]> = files.iter().map(|file| file.name.as_bytes()).collect();
        let words: Vec<String> = files.iter().map(|file| words_of(&file.name)).collect();
        let hashes: Vec<&[u8]> = files.iter().map(|file| file.hash.as_bytes()).collect();
        let numbers = |of: fn(&SharedFile) -> u64| -> Vec<i64> {
            files.iter().map(|file| clamped(of(file))).collect()
        };
        let sizes = numbers(|file| file.size);
        let bitrates = numbers(|file| file.bitrate.into());
        let frequencies = numbers(|file| file.frequency.into());
        let seconds = numbers(|file| file.seconds.into());
        let media: Vec<i16> = files.iter().map(|file| file.media as i16).collect();
        let told: [&(dyn ToSql + Sync); 10] = [
            &server,
            &nick,
            &names,
            &words,
            &hashes,
            &sizes,
            &bitrates,
            &frequencies,
            &seconds,
            &media,
        ];
        let rows = self.query(SHARE, &told)?;
        let new: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
        u32::try_from(new).map_err(|_| DatabaseError::Malformed("number"))
    }

    fn unshare(&mut self, nick: &Nick, name: &Text) -> Result<bool, DatabaseError> {
        let (server, nick) = (self.server.clone(), folded(nick));
        Ok(!self.query(UNSHARE, &[&server, &nick, &name.as_bytes()])?.is_empty())
    }

    fn search(&mut self, query: &Query) -> Result<Vec<Hit>, DatabaseError> {
        if query.words.is_empty() {
            return Ok(Vec::new());
        }
        let words = tsquery(&query.words);
        let media = query.media.map(|media| media as i16);
        let [size, bitrate, frequency] =
            [&query.size, &query.bitrate, &query.frequency].map(bounds);
        let short = |number: u64| i16::try_from(number).unwrap_or(i16::MAX);
        let link = (short(query.link.min), short(query.link.max));
        let limit = clamped(query.limit as u64);
        let with: [&(dyn ToSql + Sync); 11] = [
            &words,
            &media,
            &size.0,
            &size.1,
            &bitrate.0,
            &bitrate.1,
            &frequency.0,
            &frequency.1,
            &link.0,
            &link.1,
            &limit,
        ];
        let rows = self.query(SEARCH, &with)?;
        rows.iter()
            .map(|row| {
                let Owner { nick, address, link } = owner(row)?;
                Ok(Hit { file: file(row)?, nick, address: *address.ip(), link })
            })
            .collect()
    }

    fn browse(&mut self, nick: &Nick, limit: usize) -> Result<Vec<SharedFile>, DatabaseError> {
        let (server, nick) = (self.server.clone(), folded(nick));
        let rows = self.query(BROWSE, &[&server, &nick, &clamped(limit as u64)])?;
        rows.iter().map(file).collect()
    }

    fn file(
        &mut self,
        nick: &Nick,
        name: &Text,
    ) -> Result<Option<(Owner, SharedFile)>, DatabaseError> {
        let (server, nick) = (self.server.clone(), folded(nick));
        let rows = self.query(FILE, &[&server, &nick, &name.as_bytes()])?;
        rows.first().map(|row| Ok((owner(row)?, file(row)?))).transpose()
    }

    fn twins(
        &mut self,
        hash: &FileHash,
        size: u64,
        limit: usize,
    ) -> Result<Vec<Twin>, DatabaseError> {
        let with: [&(dyn ToSql + Sync); 3] =
            [&hash.as_bytes(), &clamped(size), &clamped(limit as u64)];
        let rows = self.query(TWINS, &with)?;
        rows.iter()
            .map(|row| {
                let (Owner { nick, address, link }, file) = (owner(row)?, file(row)?);
                let SharedFile { name, hash, size, .. } = file;
                Ok(Twin { nick, address, name, hash, size, link })
            })
            .collect()
    }

    fn counts(&mut self) -> Result<Counts, DatabaseError> {
        let rows = self.query(COUNTS, &[])?;
        let row = rows.first().ok_or(DatabaseError::Malformed("count"))?;
        let count = |at: usize| -> Result<u64, DatabaseError> {
            u64::try_from(row.try_get::<_, i64>(at)?).map_err(|_| DatabaseError::Malformed("count"))
        };
        let users = u32::try_from(count(0)?).unwrap_or(u32::MAX);
        Ok(Counts { users, files: count(1)?, bytes: count(2)? })
    }
}
