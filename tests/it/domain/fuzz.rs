//! The fuzz targets as property tests: the same checks, over the corpus and what becomes of it.
//! `PROPTEST_CASES=1000000 cargo test --release --test it -- fuzz::` has a million of each, in minutes.

use std::fmt;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

#[path = "../../../fuzz/src/lib.rs"]
mod checks;

const FUZZ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz");

/// What broke a target once belongs here, too.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let files = std::fs::read_dir(format!("{FUZZ}/corpus/{target}")).unwrap();
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Shown as text where a check fails.
struct Input(Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

#[derive(Debug, Clone, Copy)]
enum Mutation {
    Byte(Index, u8),
    Word(Index, Index),
    Exchange(u16, u16),
    Cut(Index, Index),
    Copy(Index, Index, Index),
}

fn exchange() -> impl Strategy<Value = Mutation> {
    any::<(u16, u16)>().prop_map(|(at, word)| Mutation::Exchange(at, word))
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    prop_oneof![
        exchange(),
        (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Byte(at, byte)),
        (at(), at()).prop_map(|(at, word)| Mutation::Word(at, word)),
        (at(), at()).prop_map(|(from, to)| Mutation::Cut(from, to)),
        (at(), at(), at()).prop_map(|(from, to, at)| Mutation::Copy(from, to, at)),
    ]
}

fn mutate(mut input: Vec<u8>, mutation: Mutation) -> Vec<u8> {
    let place = |at: Index| at.index(input.len() + 1);
    let span = |from, to| place(from).min(place(to))..place(from).max(place(to));
    match mutation {
        Mutation::Byte(at, byte) => {
            let at = place(at);
            input.splice(at..input.len().min(at + 1), [byte]);
        }
        Mutation::Word(at, word) => {
            let at = place(at);
            input.splice(at..at, word.get(checks::words()).bytes());
        }
        Mutation::Exchange(at, word) => return checks::exchange(&input, at.into(), word.into()),
        Mutation::Cut(from, to) => drop(input.drain(span(from, to))),
        Mutation::Copy(from, to, at) => {
            let (copy, at) = (input[span(from, to)].to_vec(), place(at));
            input.splice(at..at, copy);
        }
    }
    input
}

/// Half of them keep the shape of what they come from: a single wrong byte and nothing is read at all.
fn inputs(target: &str) -> impl Strategy<Value = Input> + use<> {
    let seeds = corpus(target);
    let mutations = prop_oneof![vec(exchange(), 0..4), vec(mutation(), 0..8)];
    (any::<Index>(), mutations).prop_map(move |(seed, mutations)| {
        Input(mutations.into_iter().fold(seed.get(&seeds).clone(), mutate))
    })
}

#[test]
fn the_corpus_passes() {
    corpus("fold").iter().for_each(|input| checks::fold(input));
    corpus("plan").iter().for_each(|input| checks::plan(input));
    corpus("answer").iter().for_each(|input| checks::answer(input));
}

proptest! {
    #[test]
    fn fold(input in inputs("fold")) {
        checks::fold(&input.0);
    }

    #[test]
    fn plan(input in inputs("plan")) {
        checks::plan(&input.0);
    }

    #[test]
    fn answer(input in inputs("answer")) {
        checks::answer(&input.0);
    }
}
