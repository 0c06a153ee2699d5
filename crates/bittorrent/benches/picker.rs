//! Costs of the picker on a torrent of two million pieces.

use std::hint::black_box;

use bittorrent::id::{BLOCK_LEN, PieceIndex};
use bittorrent::picker::{Layout, PeerView, Picker, PieceOrder, PieceSet, Received, Speed};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use machine::{ConnId, Rng};

const PIECES: u32 = 2_000_000;
const BLOCKS: u32 = 64;

fn picker(pieces: u32) -> Picker {
    let piece_len = BLOCKS * BLOCK_LEN;
    let total = u64::from(pieces) * u64::from(piece_len);
    let mut picker = Picker::new(Layout::new(piece_len, total), &mut Rng::new(1));
    (0..4).for_each(|piece| picker.set_have(PieceIndex(piece)));
    picker.seed_joined();
    picker
}

/// Picks and receives whole pieces from one fast seed until `blocks` are done.
fn download(picker: &mut Picker, want: usize, blocks: usize) {
    let view = PeerView { speed: Speed::Fast, ..PeerView::unchoking(ConnId(1), PieceSet::All) };
    let (mut out, mut done) = (Vec::new(), 0);
    while done < blocks {
        out.clear();
        done += picker.pick(&view, want, &mut out).blocks;
        for &block in &out {
            if let Received::Accepted { piece_complete: true, .. } =
                picker.received(block, ConnId(1))
            {
                picker.on_verified(block.piece, true);
            }
        }
    }
}

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("picker");
    let blocks = 64 * 1024;
    group.throughput(Throughput::Elements(blocks as u64));
    for piece_order in [PieceOrder::RarestFirst, PieceOrder::Sequential] {
        for want in [1, 16, 64] {
            let order = match piece_order {
                PieceOrder::Sequential => "in sequence",
                _ => "rarest first",
            };
            group.bench_function(format!("pick and receive, {order}, {want} at once"), |b| {
                let fresh = || {
                    let mut picker = picker(10_000);
                    picker.set_piece_order(piece_order);
                    picker
                };
                b.iter_batched_ref(fresh, |p| download(p, want, blocks), BatchSize::LargeInput);
            });
        }
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("have", |b| {
        let (mut picker, mut rng) = (picker(PIECES), Rng::new(2));
        download(&mut picker, 1, 64);
        let mut out = Vec::new();
        let _ = picker.pick(&PeerView::unchoking(ConnId(1), PieceSet::All), 1, &mut out);
        b.iter(|| picker.peer_has(PieceIndex(rng.below(u64::from(PIECES)) as u32)));
    });
    group.sample_size(10);
    group.bench_function("peer with half of all pieces joins and leaves, then a pick", |b| {
        let mut picker = picker(PIECES);
        let bits = vec![0b1010_0101; PIECES as usize / 8];
        let mut out = Vec::new();
        b.iter(|| {
            picker.peer_joined(&bits);
            picker.peer_left(&bits);
            out.clear();
            let view = PeerView::unchoking(ConnId(1), PieceSet::Bits(&bits));
            let _ = picker.pick(&view, 1, &mut out);
            picker.unrequest(black_box(out[0]), ConnId(1));
        });
    });
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
