//! A model that the step `train` has trained.

use xtask::models::Model;
use xtask::train;

use crate::fixture::fixture;

const SCRIPT: &str = "\
#wait-for starts in
#type 2
/set temperature 0
Once upon a time
/models
#wait-for arrows
#type 1
/set temperature 0
The
";

/// Both formats that were exported, int8 and f32, from one disk.
#[test]
#[ignore = "boots a machine"]
fn boots_what_was_just_trained() {
    let fixture = fixture();
    let exported = match train::exported(&fixture.project) {
        Some(exported) => exported,
        None => train::train(&fixture.project).unwrap(),
    };
    let [float, int8] =
        [&exported.float, &exported.int8].map(|file| Model::open(file, None).unwrap());
    let machine = fixture.machine("trained", &fixture.entries(&[&float, &int8]));
    let transcript = fixture.play(&machine, SCRIPT);
    for (model, typed) in [(&int8, "Once upon a time"), (&float, "The")] {
        let host = fixture.host("run", model, &["-t", "0", "-n", "0", "-i", typed]);
        assert!(host.len() > 2 * typed.len(), "{host:?}");
        assert_eq!(transcript.text(typed), host.strip_suffix('\n').unwrap_or(&host));
    }
}
