//! How a tree of hashes travels: two records of DIME, a description and the hashes (THEX, section
//! 4; Direct Internet Message Encapsulation, 2002).

use search::gnutella::TigerRoot;

use super::tiger_tree::TigerTree;

/// Most bytes of a tree that are taken.
pub(super) const THEX_MAX: usize = 4 << 20;

const TREE_TYPE: &str = "http://open-content.net/spec/thex/breadthfirst";
const HEAD: usize = 12;
/// Records of one message.
const RECORDS_MAX: usize = 8;

/// A tree as it travels.
pub(super) fn write(tree: &TigerTree, len: u64) -> Vec<u8> {
    let (depth, root) = (tree.depth(), codec::base32::encode(&tree.root().0));
    let id = format!("uuid:{root}");
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE hashtree SYSTEM \"http://open-content.net/spec/thex/thex.dtd\">\n\
         <hashtree>\
         <file size=\"{len}\" segmentsize=\"1024\"/>\
         <digest algorithm=\"http://open-content.net/spec/digest/tiger\" outputsize=\"24\"/>\
         <serializedtree depth=\"{depth}\" type=\"{TREE_TYPE}\" uri=\"{id}\"/>\
         </hashtree>"
    );
    let mut out = Vec::new();
    // Types: 1 is a media type, 2 is a URI. The first record is marked, and so is the last.
    record(&mut out, 0x0c, 0x10, "", "text/xml", xml.as_bytes());
    record(&mut out, 0x0a, 0x20, &id, TREE_TYPE, &tree.breadth_first());
    out
}

fn record(out: &mut Vec<u8>, flags: u8, kind: u8, id: &str, type_name: &str, data: &[u8]) {
    out.extend([flags, kind, 0, 0]);
    // Names here are short, and trees below 4 GiB.
    out.extend((id.len() as u16).to_be_bytes());
    out.extend((type_name.len() as u16).to_be_bytes());
    out.extend((data.len() as u32).to_be_bytes());
    for part in [id.as_bytes(), type_name.as_bytes(), data] {
        out.extend_from_slice(part);
        out.resize(out.len().next_multiple_of(4), 0);
    }
}

/// Reads the tree of a file of `len` bytes; `None` if there is none that has this root.
pub(super) fn read(bytes: &[u8], len: u64, root: TigerRoot, slice: u64) -> Option<TigerTree> {
    let mut rest = bytes;
    for _ in 0..RECORDS_MAX {
        let (head, behind) = rest.split_first_chunk::<HEAD>()?;
        let short = |at: usize| usize::from(u16::from_be_bytes([head[at], head[at + 1]]));
        let data_len = u32::from_be_bytes([head[8], head[9], head[10], head[11]]);
        let lens = [short(2), short(4), short(6), usize::try_from(data_len).ok()?];
        let mut parts: [&[u8]; 4] = [&[]; 4];
        rest = behind;
        for (part, len) in parts.iter_mut().zip(lens) {
            *part = rest.get(..len)?;
            // The last record's end may lack what fills it up.
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
        let [_, _, type_name, data] = parts;
        if type_name == TREE_TYPE.as_bytes() {
            return TigerTree::parse(data, len, root, slice);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::tiger_tree::slice_hash;
    use super::*;

    #[test]
    fn reads_what_it_writes_and_refuses_what_is_cut() {
        let bytes = b"reef ".repeat(200_000);
        let hashes = bytes.chunks(65_536).map(slice_hash).collect();
        let tree = TigerTree::new(65_536, hashes);
        let packed = write(&tree, 1_000_000);
        assert_eq!(read(&packed, 1_000_000, tree.root(), 1_024), Some(tree.clone()));
        for cut in 0..packed.len() {
            let read = read(&packed[..cut], 1_000_000, tree.root(), 1_024);
            assert!(read.is_none_or(|read| read.root() == tree.root()));
        }
        assert_eq!(read(&[0xff; 400], 1_000_000, tree.root(), 1_024), None);
    }
}
