//! A conversation, turn by turn.

use bootllm_chat::{Conversation, GenerateError, Turn};
use bootllm_cores::OneCore;
use bootllm_engine::{BATCH, Session};
use bootllm_model_file::{Config, Version};
use bootllm_sampling::{Sampler, Settings};
use bootllm_tests::{SmallModel, vocabulary};
use core::ops::ControlFlow::{self, Break, Continue};

/// A question, and after how many tokens the person stops the reading of it, if at all.
type Asked<'a> = (&'a str, Option<usize>);

/// How a turn ended, what it showed, and what was said while the question was read.
type Played = (Turn, String, Vec<(usize, usize)>);

/// Plays turns from one seed.
fn turns(questions: &[Asked<'_>]) -> Vec<Played> {
    let config = Config { context: 400, ..SmallModel::shared_classifier().config };
    let model = SmallModel { config, seed: 1 }.load(Version::V1);
    let tokenizer = vocabulary();
    let mut session = Session::new(&model, &OneCore).unwrap();
    let settings = Settings { temperature: 1.0, top_p: 0.9 };
    let mut sampler = Sampler::new(&settings, 7, tokenizer.len()).unwrap();
    let mut conversation = Conversation::new(&mut session, &tokenizer, &mut sampler, 0);
    let turn = |&(question, up_to): &Asked<'_>| {
        let (mut answer, mut read, mut pieces) = (String::new(), Vec::new(), 0);
        let reading = &mut |done, all| {
            read.push((done, all));
            if up_to.is_some_and(|most| done >= most) { Break(()) } else { Continue(()) }
        };
        let show = &mut |text: &str| -> ControlFlow<()> {
            answer += text;
            pieces += 1;
            if pieces == 20 { Break(()) } else { Continue(()) }
        };
        let turn = conversation.turn(question, reading, show).unwrap();
        (turn, answer, read)
    };
    questions.iter().map(turn).collect()
}

#[test]
fn a_question_is_read_in_steps() {
    let long = "Once upon a time ".repeat(20);
    let [(turn, answer, read)] = turns(&[(&long, None)]).try_into().unwrap();
    assert_eq!(turn, Turn::Stopped);
    assert!(!answer.is_empty());
    let all = vocabulary().encode(&long, true, false).len();
    assert!(read.len() > 1 && read.iter().all(|&(_, said)| said == all), "{read:?}");
    assert!(read.is_sorted() && read.last() == Some(&(all - 1, all)), "{read:?}");
}

#[test]
fn a_question_that_is_stopped_was_never_asked() {
    let (long, who, why) = ("a dog and on ".repeat(30), "Who is there?", "Why?");
    let undisturbed = turns(&[(who, None), (why, None)]);
    for up_to in [1, BATCH + 1] {
        let stopped = (long.as_str(), Some(up_to));
        let played = turns(&[stopped, (who, None), stopped, stopped, (why, None)]);
        for place in [0, 2, 3] {
            let (turn, answer, read) = &played[place];
            assert_eq!((*turn, answer.as_str()), (Turn::Withdrawn, ""), "{place}");
            assert!(read.last().is_some_and(|&(done, all)| done >= up_to && done < all));
        }
        assert_eq!([&played[1], &played[4]], [&undisturbed[0], &undisturbed[1]]);
    }
    // Reading it does make a difference.
    assert_ne!(turns(&[(&long, None), (who, None)])[1].1, undisturbed[0].1);
}

#[test]
fn a_question_that_does_not_fit_changes_nothing() {
    let model = SmallModel::shared_classifier().load(Version::V1);
    let tokenizer = vocabulary();
    let mut session = Session::new(&model, &OneCore).unwrap();
    let settings = Settings { temperature: 0.0, top_p: 0.9 };
    let mut sampler = Sampler::new(&settings, 7, tokenizer.len()).unwrap();
    let mut conversation = Conversation::new(&mut session, &tokenizer, &mut sampler, 0);
    let never = &mut |_: usize, _: usize| -> ControlFlow<()> { panic!("it does not fit") };
    let nothing = &mut |_: &str| -> ControlFlow<()> { panic!("it does not fit") };
    let error = conversation.turn(&"Who? ".repeat(100), never, nothing).unwrap_err();
    assert!(matches!(error, GenerateError::QuestionTooLong { left: 100, .. }), "{error}");
}
