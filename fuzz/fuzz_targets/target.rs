/// A fuzz target around a check. Every other mutation is ours, which knows JSON; the rest are libFuzzer's.
macro_rules! target {
    ($check:path) => {
        libfuzzer_sys::fuzz_target!(|input: &[u8]| $check(input));

        libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
            let (at, word) = ((seed >> 1) as usize, (seed >> 16) as usize);
            let output = mana_ai_fuzz::exchange(&data[..size], at, word);
            if seed % 2 == 0 || output.len() > max_size {
                return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
            }
            data[..output.len()].copy_from_slice(&output);
            output.len()
        });
    };
}
