//! A mutation that knows JSON.

use std::ops::Range;
use std::sync::LazyLock;

/// One string, number or literal becomes a word of `words.dict`, and the rest stays as it was. Bytes changed at
/// random rarely leave a timestamp a timestamp.
pub fn exchange(input: &[u8], at: usize, word: usize) -> Vec<u8> {
    let (scalars, words) = (scalars(input), words());
    let mut output = input.to_vec();
    if let Some(scalar) = scalars.get(at % scalars.len().max(1)) {
        output.splice(scalar.clone(), words[word % words.len()].bytes());
    }
    output
}

fn scalars(input: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = input.get(at) {
        let inside = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        let length = match first {
            b'"' => 2 + input[at + 1..].iter().take_while(|byte| **byte != b'"').count(),
            byte if inside(byte) => input[at..].iter().take_while(|byte| inside(byte)).count(),
            _ => 0,
        };
        let end = input.len().min(at + length.max(1));
        if length > 0 {
            found.push(at..end);
        }
        at = end;
    }
    found
}

/// The lines of libFuzzer's dictionary are JSON strings.
pub fn words() -> &'static [String] {
    static WORDS: LazyLock<Vec<String>> = LazyLock::new(|| {
        include_str!("../words.dict").lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    });
    &WORDS
}
