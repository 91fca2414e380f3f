//! GGUF files, which contain their tokenizer.

use xtask::models::Model;

use crate::fixture::fixture;

const SCRIPT: &str = "\
#wait-for starts in
#type 1
/set temperature 0
Once upon a time
/logits digest 100
/models
#wait-for arrows
#type 2
/set temperature 0
The
/logits digest 99
/models
#wait-for arrows
#type 3
/set temperature 0
A dog
/logits digest 98
";

/// One model in three formats on one disk, made by `bootllm convert`, without tokenizer files.
#[test]
#[ignore = "boots a machine"]
fn gguf_files_say_what_they_say_on_the_host() {
    let fixture = fixture();
    let models = ["f16", "q4_0", "q8_0"].map(|format| {
        let file = fixture.file(&format!("{format}.gguf"));
        let output = file.to_str().expect("a path in UTF-8");
        fixture.host("convert", &fixture.model, &[output, "--force", "--to", format]);
        Model::open(&file, None).unwrap()
    });
    assert!(models.iter().all(|model| model.tokenizer.is_none()));
    let mut machine = fixture.machine("gguf", &fixture.entries(&models.each_ref()));
    machine.cpus = 2;
    let transcript = fixture.play(&machine, SCRIPT);
    let typed = [("Once upon a time", "100"), ("The", "99"), ("A dog", "98")];
    for (model, (typed, positions)) in models.iter().zip(typed) {
        let host = fixture.host("run", model, &["-t", "0", "-n", "0", "-i", typed]);
        assert_eq!(transcript.text(typed), host.strip_suffix('\n').unwrap_or(&host));
        let digest = fixture.host("logits", model, &["--digest", "-n", positions]);
        assert_eq!(transcript.answer(&format!("/logits digest {positions}")), digest.trim_end());
    }
}
