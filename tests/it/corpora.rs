//! What the fuzzer has collected, replayed: see `fuzz/targets.rs`.

#[path = "../../fuzz/targets.rs"]
mod targets;

use std::path::Path;

#[test]
fn every_input_is_survived() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in targets::TARGETS {
        let lines = std::fs::read_to_string(corpus.join(format!("{name}.txt"))).unwrap();
        let mut count = 0;
        for input in targets::inputs(&lines) {
            println!("{name} {}", input.escape_ascii());
            target(&input);
            count += 1;
        }
        assert!(count >= 5, "{name} has {count} inputs only");
    }
}

#[test]
fn inputs_are_read_as_they_were_written() {
    let bytes: Vec<u8> = (0..=u8::MAX).collect();
    let line = bytes.escape_ascii().to_string();
    assert_eq!(targets::inputs(&line).collect::<Vec<_>>(), [bytes]);
}
