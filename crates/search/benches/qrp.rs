//! How fast an ultrapeer decides which of its leaves a query is for: reading the query, hashing
//! its words, and a look at each leaf's table. `cargo bench -p shoal-search --bench qrp`.

use core::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use machine::Rng;
use search::gnutella::qrp::{QueryHashes, Table};
use search::gnutella::{MinSpeed, Query};

/// Words that names are made of.
const WORDS: u64 = 20_000;

fn word(number: u64) -> String {
    format!("w{:05x}", number.wrapping_mul(0x9e37_79b9) & 0xf_ffff)
}

/// A name of four words; small numbers are frequent ones.
fn name(rng: &mut Rng) -> String {
    let mut name = String::new();
    for _ in 0..4 {
        let most = 1 + rng.below(WORDS);
        name += &word(rng.below(most));
        name.push(' ');
    }
    name
}

fn filtering(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("qrp");
    for (leaves, slots) in [(30, 1 << 16), (300, 1 << 14), (300, 1 << 16)] {
        let mut rng = Rng::new(1);
        let tables: Vec<Table> = (0..leaves)
            .map(|_| {
                let mut table = Table::new(slots).expect("a possible size");
                (0..200).for_each(|_| table.insert_name(&name(&mut rng)));
                table
            })
            .collect();
        let queries: Vec<Vec<u8>> = (0..1_000)
            .map(|_| {
                let words = name(&mut rng);
                let criteria = words.split_at(14).0.as_bytes();
                let query = Query { speed: MinSpeed::MARK, criteria, extra: b"\xc3\x82PR@" };
                query.to_vec().expect("no zeros")
            })
            .collect();
        group.throughput(Throughput::Elements(queries.len() as u64));
        group.bench_function(format!("{leaves} leaves of {slots} slots"), |bencher| {
            let mut hashes = QueryHashes::default();
            bencher.iter(|| {
                let mut wanted = 0;
                for payload in &queries {
                    hashes.set(&Query::parse(black_box(payload)).expect("a query"));
                    wanted += tables.iter().filter(|table| table.may_answer(&hashes)).count();
                }
                wanted
            });
        });
    }
    group.finish();
}

criterion_group!(benches, filtering);
criterion_main!(benches);
