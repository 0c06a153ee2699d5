//! Fetching metainfo files from URLs that the user names, under the policy for such URLs.

use bittorrent::metainfo::MAX_METAINFO_LEN;
use net::dialer::Dialer;
use net::http_client::{Client, Get};
use net::url_policy::Purpose;
use url::Url;

use super::{Node, NodeError};

impl Node {
    /// Downloads a metainfo file, through the interface that all traffic must use.
    ///
    /// # Errors
    /// In words, when it cannot be had.
    pub fn download(&self, url: &str) -> Result<Vec<u8>, NodeError> {
        let invalid = |error: String| NodeError::Invalid(format!("{url}: {error}"));
        let parsed = Url::parse(url).map_err(|error| invalid(error.to_string()))?;
        let interface = self.began_with.network.interface.clone();
        let interface = Some(interface).filter(|name| !name.is_empty());
        let dialer = Dialer { interface, ..Dialer::default() };
        let get = Get { purpose: Purpose::Content, range: None, family: None };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| invalid(error.to_string()))?;
        runtime.block_on(async {
            let response = Client::new(dialer).get(&parsed, get).await;
            let response = response.map_err(|error| invalid(error.to_string()))?;
            if !response.status.is_success() {
                return Err(invalid(format!("the server says {}", response.status)));
            }
            let bytes = response.bytes(MAX_METAINFO_LEN).await;
            bytes.map_err(|error| invalid(error.to_string()))
        })
    }
}
