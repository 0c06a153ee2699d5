//! `shoal library`: which folders are shared, and what is in them. Through the node that runs, or
//! in this process if none does.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use node::{
    FileQuery, FolderState, Library, LibraryError, LibraryFiles, LibraryFolder, LibraryStatus,
};
use serde_json::json;
use url::form_urlencoded;

use crate::client::{Client, NodeArgs};
use crate::exit::{BadInput, Exit, Failure, bad_input, say};
use crate::interrupt;
use crate::progress;
use crate::report::say_json;
use crate::text;
use crate::units::size;

/// How often signals are looked at.
const TICK: Duration = Duration::from_millis(200);

/// Options of `shoal library`.
#[derive(Args, Debug)]
pub struct LibraryArgs {
    #[command(subcommand)]
    command: LibraryCommand,
}

/// What to do with the library.
#[derive(Debug, Subcommand)]
enum LibraryCommand {
    /// Share folders from now on, and hash their files
    Add {
        /// The folders
        #[arg(required = true, value_name = "FOLDER")]
        folders: Vec<PathBuf>,
        /// Do not wait until all is hashed
        #[arg(long)]
        no_wait: bool,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Share a folder no longer; its files stay where they are
    Remove {
        /// The folder, or its number
        folder: String,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// List files
    List {
        /// Words that their names or folders begin with; type:video, size:>1G and (after --) -word
        /// narrow it
        words: Vec<String>,
        /// Only those in this folder of the library, or its number
        #[arg(long, value_name = "FOLDER")]
        folder: Option<String>,
        /// Most to list
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Look at folders again, and try again what could not be read
    Rescan {
        /// The folder, or its number [default: all]
        folder: Option<String>,
        /// Do not wait until all is hashed
        #[arg(long)]
        no_wait: bool,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Show the folders, and how far they are hashed
    Status {
        #[command(flatten)]
        node: NodeArgs,
    },
}

/// Does what it says.
///
/// # Errors
/// When a folder is not there or cannot be shared, or the node refuses.
pub fn run(args: &LibraryArgs) -> Result<Exit, Failure> {
    match &args.command {
        LibraryCommand::Add { folders, no_wait, node } => {
            let shelf = Shelf::open(node)?;
            for folder in folders {
                let path = folder.canonicalize().with_context(|| folder.display().to_string());
                say_folder(&shelf.add(&path.bad_input()?)?, node.json)?;
            }
            shelf.settle(*no_wait, node.json)
        }
        LibraryCommand::Remove { folder, node } => {
            let shelf = Shelf::open(node)?;
            let folder = find(&shelf.status()?, folder)?;
            shelf.remove(folder.id)?;
            if !node.json {
                say(format_args!("{} is shared no longer", folder.path.display()))?;
            }
            Ok(Exit::Done)
        }
        LibraryCommand::List { words, folder, limit, node } => {
            let shelf = Shelf::open(node)?;
            let folder = match folder {
                Some(folder) => Some(find(&shelf.status()?, folder)?.id),
                None => None,
            };
            let most = limit.unwrap_or(usize::MAX);
            list(&shelf, &words.join(" "), folder, most, node.json)
        }
        LibraryCommand::Rescan { folder, no_wait, node } => {
            let shelf = Shelf::open(node)?;
            let mut folders = shelf.status()?.folders;
            if let Some(folder) = folder {
                folders = vec![find(&shelf.status()?, folder)?];
            }
            for folder in folders {
                shelf.rescan(folder.id)?;
            }
            shelf.settle(*no_wait, node.json)
        }
        LibraryCommand::Status { node } => {
            match Shelf::open(node)? {
                // One that was opened for this has only begun to look.
                own @ Shelf::Own(_) => own.settle(false, node.json),
                running @ Shelf::Running(_) => {
                    say_status(&running.status()?, node.json)?;
                    Ok(Exit::Done)
                }
            }
        }
    }
}

/// The folder that is called so, by its path or its number.
fn find(status: &LibraryStatus, name: &str) -> Result<LibraryFolder, Failure> {
    let path = Path::new(name).canonicalize().unwrap_or_else(|_| name.into());
    let number = name.parse::<u32>().ok();
    let is_it = |folder: &&LibraryFolder| folder.path == path || Some(folder.id) == number;
    let found = status.folders.iter().find(is_it).cloned();
    found.ok_or_else(|| bad_input(format!("{name} is no folder of the library")))
}

fn list(
    shelf: &Shelf,
    words: &str,
    folder: Option<u32>,
    most: usize,
    json: bool,
) -> Result<Exit, Failure> {
    let mut offset = 0;
    while offset < most {
        let limit = Some((most - offset).min(1000));
        let page = shelf.files(&FileQuery { words: words.to_owned(), folder, offset, limit })?;
        for file in &page.files {
            if json {
                say_json(file)?;
            } else {
                let path = text::plain(&file.path);
                say(format_args!("{:>6}  {:>10}  {path}", file.id, size(file.length)))?;
            }
        }
        offset += page.files.len();
        if page.files.is_empty() || offset as u64 >= page.total {
            break;
        }
    }
    Ok(Exit::Done)
}

fn say_status(status: &LibraryStatus, json: bool) -> Result<(), Failure> {
    if json {
        return say_json(status);
    }
    if status.folders.is_empty() {
        return say("nothing is shared yet: `shoal library add FOLDER`");
    }
    status.folders.iter().try_for_each(|folder| say_folder(folder, false))
}

fn say_folder(folder: &LibraryFolder, json: bool) -> Result<(), Failure> {
    if json {
        return say_json(folder);
    }
    let state = match folder.state {
        FolderState::Watching => "watching",
        FolderState::Scanning => "scanning",
        FolderState::Hashing => "hashing",
        FolderState::Missing => "missing",
        FolderState::Failed => "failed",
    };
    let path = text::plain(&folder.path.to_string_lossy());
    let (hashed, all) = (size(folder.bytes_hashed), size(folder.bytes));
    let files = folder.files;
    say(format_args!("{:>3}  {state:8}  {hashed} of {all} in {files} files  {path}", folder.id))?;
    match &folder.error {
        Some(error) => say(format_args!("     {}", text::plain(error))),
        None => Ok(()),
    }
}

/// The library, wherever it is.
pub enum Shelf {
    /// With the node that runs.
    Running(Client),
    /// In this process.
    Own(Arc<Library>),
}

impl Shelf {
    /// Finds the node, or opens its library.
    ///
    /// # Errors
    /// When neither can be done.
    pub fn open(node: &NodeArgs) -> Result<Self, Failure> {
        if let Some(client) = node.client()? {
            return Ok(Self::Running(client));
        }
        let library = Library::open(&node.config()?.node.state_dir);
        Ok(Self::Own(Arc::new(library.context("cannot open the library")?)))
    }

    /// All folders.
    ///
    /// # Errors
    /// When the node does not say.
    pub fn status(&self) -> Result<LibraryStatus, Failure> {
        match self {
            Self::Running(client) => client.get("/api/v1/library"),
            Self::Own(library) => Ok(library.status()),
        }
    }

    fn add(&self, path: &Path) -> Result<LibraryFolder, Failure> {
        match self {
            Self::Running(client) => {
                let path = path.to_str().ok_or_else(|| anyhow!("its name is not UTF-8"));
                let body = json!({"path": path.bad_input()?});
                client.post("/api/v1/library/folders", Some(body))
            }
            Self::Own(library) => library.add(path).map_err(failure),
        }
    }

    fn remove(&self, id: u32) -> Result<(), Failure> {
        match self {
            Self::Running(client) => client.delete(&format!("/api/v1/library/folders/{id}")),
            Self::Own(library) => library.remove(id).map_err(failure),
        }
    }

    fn rescan(&self, id: u32) -> Result<LibraryFolder, Failure> {
        match self {
            Self::Running(client) => {
                client.post(&format!("/api/v1/library/folders/{id}/rescan"), None)
            }
            Self::Own(library) => library.rescan(id).map_err(failure),
        }
    }

    fn files(&self, query: &FileQuery) -> Result<LibraryFiles, Failure> {
        match self {
            Self::Running(client) => {
                let mut parameters = form_urlencoded::Serializer::new(String::new());
                parameters.append_pair("q", &query.words);
                parameters.append_pair("offset", &query.offset.to_string());
                if let Some(limit) = query.limit {
                    parameters.append_pair("limit", &limit.to_string());
                }
                if let Some(folder) = query.folder {
                    parameters.append_pair("folder", &folder.to_string());
                }
                client.get(&format!("/api/v1/library/files?{}", parameters.finish()))
            }
            Self::Own(library) => library.files(query).map_err(failure),
        }
    }

    /// Waits until all is hashed, and says how it is then.
    fn settle(&self, no_wait: bool, json: bool) -> Result<Exit, Failure> {
        if no_wait {
            return Ok(Exit::Done);
        }
        interrupt::heed();
        let bar = progress::bar("library", 1);
        let show = |status: &LibraryStatus| {
            progress::show_hashed(&bar, status.bytes_hashed, status.bytes.max(1));
        };
        let settled = match self {
            Self::Running(client) => client.follow(|name, data| {
                if name != "library" {
                    return Ok(ControlFlow::Continue(()));
                }
                let status: LibraryStatus = serde_json::from_str(data).context("an event")?;
                show(&status);
                let settled = status.is_settled();
                Ok(if settled { ControlFlow::Break(status) } else { ControlFlow::Continue(()) })
            })?,
            Self::Own(library) => loop {
                if library.wait_until(TICK, LibraryStatus::is_settled) {
                    break Some(library.status());
                }
                show(&library.status());
                if interrupt::wanted() {
                    break None;
                }
            },
        };
        progress::remove(&bar);
        let Some(status) = settled else { return Ok(Exit::Interrupted) };
        say_status(&status, json)?;
        let whole = status.folders.iter().all(|folder| folder.error.is_none());
        Ok(if whole { Exit::Done } else { Exit::Failed })
    }
}

fn failure(error: LibraryError) -> Failure {
    match error {
        LibraryError::NoFolder(_)
        | LibraryError::NoFile(_)
        | LibraryError::Folder { .. }
        | LibraryError::Conflict(_) => bad_input(error),
        error => anyhow::Error::new(error).into(),
    }
}
