//! SHA-1 and SHA-256 of pieces: every engine of this processor, and the one that is chosen.
//!
//! `cargo bench -p shoal-hash --bench hash`. Pieces lie one after the other, as a file is read.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hash::Engine;

const MAX_INPUTS: usize = 16;
const COUNTS: [usize; 8] = [1, 2, 3, 4, 6, 8, 12, 16];
const PIECE_LENS: [(&str, usize); 2] = [("256 KiB", 256 << 10), ("1 MiB", 1 << 20)];

fn pieces(criterion: &mut Criterion) {
    let data: Vec<u8> = (0..MAX_INPUTS << 20).map(|i: usize| (i * 7 + i / 251) as u8).collect();
    for (name, len) in PIECE_LENS {
        let all: Vec<&[u8]> = data.chunks(len).take(MAX_INPUTS).collect();
        for count in COUNTS {
            let inputs = &all[..count];
            let bytes = Throughput::Bytes((count * len) as u64);

            let mut group = criterion.benchmark_group(format!("SHA-1, {name}"));
            group.throughput(bytes.clone());
            let mut digests = vec![[0; 20]; count];
            for engine in Engine::available().into_iter().filter(|it| it.lanes() <= 2 * count) {
                group.bench_function(BenchmarkId::new(engine.name(), count), |bencher| {
                    bencher.iter(|| hash::sha1_many_by(engine, black_box(inputs), &mut digests));
                });
            }
            group.bench_function(BenchmarkId::new("chosen", count), |bencher| {
                bencher.iter(|| hash::sha1_many(black_box(inputs), &mut digests));
            });
            group.finish();

            let mut group = criterion.benchmark_group(format!("SHA-256, {name}"));
            group.throughput(bytes);
            let mut digests = vec![[0; 32]; count];
            for engine in Engine::available().into_iter().filter(|it| it.lanes() <= 2 * count) {
                group.bench_function(BenchmarkId::new(engine.name(), count), |bencher| {
                    bencher.iter(|| hash::sha256_many_by(engine, black_box(inputs), &mut digests));
                });
            }
            group.bench_function(BenchmarkId::new("chosen", count), |bencher| {
                bencher.iter(|| hash::sha256_many(black_box(inputs), &mut digests));
            });
            group.finish();
        }
    }
}

/// What the tree of BEP 52 is made of: leaves of 16 KiB, and pairs of digests.
fn merkle(criterion: &mut Criterion) {
    let data = vec![0x5a; 16 << 20];
    let leaves: Vec<&[u8]> = data.chunks(16 << 10).collect();
    let mut digests = vec![[0; 32]; leaves.len()];
    let mut group = criterion.benchmark_group("merkle");
    group.throughput(Throughput::Bytes(data.len() as u64));
    group.bench_function("leaves of 16 MiB", |bencher| {
        bencher.iter(|| hash::sha256_many(black_box(&leaves), &mut digests));
    });
    let pairs: Vec<&[u8]> = digests.chunks(2).map(<[[u8; 32]]>::as_flattened).collect();
    let mut above = vec![[0; 32]; pairs.len()];
    group.throughput(Throughput::Elements(pairs.len() as u64));
    group.bench_function("pairs of its first layer", |bencher| {
        bencher.iter(|| hash::sha256_many(black_box(&pairs), &mut above));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500));
    targets = pieces, merkle
}
criterion_main!(benches);
