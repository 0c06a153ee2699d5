//! A node without a network, and its HTTP interfaces as a service, for targets that send requests.

use std::cell::RefCell;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use node::{AddRequest, Layers, Node, parse_source};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tower::ServiceExt;

/// Transfers that pile up before all are removed.
const TRANSFERS_MAX: usize = 32;
/// Longest answer that is read.
const ANSWER_MAX: usize = 64 << 20;

pub struct Bench {
    home: TempDir,
    node: Arc<Node>,
    router: Router,
    runtime: Runtime,
    token: String,
    session: Option<String>,
}

thread_local! {
    static BENCH: RefCell<Option<Bench>> = const { RefCell::new(None) };
}

/// Runs `act` with this process's node.
pub fn with_bench(act: impl FnOnce(&mut Bench)) {
    BENCH.with_borrow_mut(|bench| act(bench.get_or_insert_with(Bench::new)));
}

/// Whether bytes may name a place on the network, or hide that they do.
pub fn names_a_place(bytes: &[u8]) -> bool {
    bytes.windows(3).any(|part| part == b"://") || bytes.contains(&b'\\')
}

impl Bench {
    fn new() -> Self {
        let home = tempfile::tempdir_in("/dev/shm").expect("a folder");
        let root = home.path().canonicalize().expect("real");
        std::fs::create_dir(root.join("down")).expect("made");
        let text = format!(
            "[node]\nstate_dir = {:?}\n[network]\nlisten = []\nlsd = false\ndht = false\npex = false\n\
             [transfers]\ndownload_dir = {:?}\npublish_roots = [{:?}]\n",
            root.join("state"),
            root.join("down"),
            root.join("down"),
        );
        let file = root.join("config.toml");
        std::fs::write(&file, text).expect("written");
        let node = Node::start(Layers::load(Some(&file), []).expect("good"), None).expect("starts");
        let router = node::api::service(node.clone()).expect("secrets");
        let token = std::fs::read_to_string(root.join("state/api-token")).expect("a token");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        Self { home, node, router, runtime, token: token.trim().to_owned(), session: None }
    }

    /// Sees to it that there is a transfer of this infohash, and not too many others.
    pub fn have(&mut self, hash: &str) {
        let transfers = self.node.transfers();
        if transfers.len() > TRANSFERS_MAX {
            for transfer in transfers {
                // One that is being hashed cannot be removed yet.
                let _ = self.node.remove(&transfer.id, false);
            }
        }
        let source = parse_source(hash).expect("an infohash");
        // It may be here already.
        let _ = self.node.add(AddRequest { paused: true, ..AddRequest::new(source) });
    }

    /// Sends a request with a login, and returns the status and the body of the answer.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> (u16, Vec<u8>) {
        let mut request = Request::builder().method(method).uri(path).header("host", "127.0.0.1");
        request = request.header("authorization", format!("Bearer {}", self.token));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let Ok(request) = request.body(Body::from(body.to_vec())) else {
            return (400, b"{\"error\":{\"message\":\"\"}}".to_vec());
        };
        self.runtime.block_on(async {
            let answer = self.router.clone().oneshot(request).await;
            let answer = answer.unwrap_or_else(|never| match never {});
            let status = answer.status().as_u16();
            (status, to_bytes(answer.into_body(), ANSWER_MAX).await.expect("a body").to_vec())
        })
    }

    /// The id of the RPC's handshake.
    #[allow(dead_code, reason = "only one of the targets asks for it")]
    pub fn rpc_session(&mut self) -> String {
        if self.session.is_none() {
            let request = Request::builder()
                .method("POST")
                .uri("/transmission/rpc")
                .header("host", "127.0.0.1")
                .header("authorization", format!("Bearer {}", self.token));
            let request = request.body(Body::empty()).expect("a request");
            let answer = self.runtime.block_on(self.router.clone().oneshot(request));
            let answer = answer.unwrap_or_else(|never| match never {});
            let id = answer.headers().get("x-transmission-session-id").expect("a handshake");
            self.session = id.to_str().ok().map(str::to_owned);
        }
        self.session.clone().unwrap_or_default()
    }

    /// Fails if a transfer is anywhere but below the folder that is allowed.
    #[allow(dead_code, reason = "the API may allow other folders")]
    pub fn stays_at_home(&self) {
        let root = self.home.path().canonicalize().expect("real");
        for transfer in self.node.transfers() {
            assert!(transfer.dir.starts_with(&root), "{}", transfer.dir.display());
        }
    }
}
