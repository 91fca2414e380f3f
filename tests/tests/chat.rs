//! A conversation, turn by turn.

use bootllm_chat::{Conversation, End, GenerateError, Generation, Step};
use bootllm_cores::OneCore;
use bootllm_engine::{Engine, RunError, Sequence, Session};
use bootllm_model_file::{Config, Version};
use bootllm_platform::Clock;
use bootllm_sampling::{Sampler, SamplerSettings};
use bootllm_tests::{NoClock, SmallModel, vocabulary};
use core::cell::Cell;
use core::ops::ControlFlow;
use core::time::Duration;
use std::sync::Arc;

/// A question, and the number of tokens after which reading it is stopped, if it is.
type Asked<'a> = (&'a str, Option<usize>);

/// The outcome of a turn.
#[derive(Debug, PartialEq)]
struct Played {
    /// Whether it was stopped before the question was read.
    withdrawn: bool,
    answer: String,
    /// Tokens read, and all of the question, as it was read.
    read: Vec<(usize, usize)>,
}

const GO_ON: fn() -> ControlFlow<()> = || ControlFlow::Continue(());

fn sampler(temperature: f32) -> Sampler {
    let settings = SamplerSettings { temperature, top_p: 0.9 };
    Sampler::new(settings.chain(7), vocabulary().len()).unwrap()
}

/// Answers in up to 20 pieces.
fn play(
    turn: &mut Generation,
    (engine, sequence): (&mut Engine<'_>, &mut Sequence),
    stop_after: Option<usize>,
) -> (String, Vec<(usize, usize)>) {
    let (mut answer, mut read) = (String::new(), Vec::new());
    let mut pieces = 0;
    while pieces < 20 {
        match turn.step(engine, sequence, &NoClock, &mut GO_ON.clone()).unwrap() {
            Step::Reading { done, total } => {
                read.push((done, total));
                if stop_after.is_some_and(|most| done >= most) {
                    break;
                }
            }
            Step::Text(piece) => {
                answer += piece;
                pieces += 1;
            }
            Step::Done(_, rest) => {
                answer += rest;
                break;
            }
        }
    }
    (answer, read)
}

/// Plays turns from one seed.
fn turns(questions: &[Asked<'_>]) -> Vec<Played> {
    let config = Config { context: 400, ..SmallModel::tied_embeddings().config };
    let model = SmallModel { config, seed: 1 }.load(Version::V1);
    let mut session = Session::new(&model, &OneCore).unwrap();
    let Session { engine, sequence, .. } = &mut session;
    let tokenizer = Arc::new(vocabulary());
    let mut conversation = Conversation::new(tokenizer, sampler(1.0), sequence, 0);
    let turn = |&(question, stop_after): &Asked<'_>| {
        let mut turn = conversation.begin_turn(question, sequence).unwrap();
        let (answer, read) = play(&mut turn, (engine, sequence), stop_after);
        let withdrawn = conversation.end_turn(turn, sequence);
        Played { withdrawn, answer, read }
    };
    questions.iter().map(turn).collect()
}

#[test]
fn a_question_is_read_in_steps() {
    let long = "Once upon a time ".repeat(20);
    let [Played { withdrawn, answer, read }] = turns(&[(&long, None)]).try_into().unwrap();
    assert!(!withdrawn && !answer.is_empty());
    let all = vocabulary().encode(&long, true, false).len();
    assert!(read.len() > 1 && read.iter().all(|&(_, total)| total == all), "{read:?}");
    assert!(read.is_sorted() && read.iter().all(|&(done, _)| done < all), "{read:?}");
}

#[test]
fn a_question_that_is_stopped_was_never_asked() {
    let (long, who, why) = ("a dog and on ".repeat(55), "Who is there?", "Why?");
    let undisturbed = turns(&[(who, None), (why, None)]);
    // After one pass of the engine, and after another.
    for up_to in [1, 97] {
        let stopped = (long.as_str(), Some(up_to));
        let played = turns(&[stopped, (who, None), stopped, stopped, (why, None)]);
        for place in [0, 2, 3] {
            let Played { withdrawn, answer, read } = &played[place];
            assert_eq!((*withdrawn, answer.as_str()), (true, ""), "{place}");
            assert!(read.last().is_some_and(|&(done, all)| done >= up_to && done < all));
        }
        assert_eq!([&played[1], &played[4]], [&undisturbed[0], &undisturbed[1]]);
    }
    // Reading it does make a difference.
    assert_ne!(turns(&[(&long, None), (who, None)])[1].answer, undisturbed[0].answer);
}

#[test]
fn a_question_that_does_not_fit_changes_nothing() {
    let model = SmallModel::tied_embeddings().load(Version::V1);
    let mut session = Session::new(&model, &OneCore).unwrap();
    let (tokenizer, sequence) = (Arc::new(vocabulary()), &mut session.sequence);
    let mut conversation = Conversation::new(tokenizer, sampler(0.0), sequence, 0);
    let error = conversation.begin_turn(&"Who? ".repeat(100), sequence).err().unwrap();
    assert!(matches!(error, GenerateError::QuestionTooLong { left: 100, .. }), "{error}");
    assert_eq!(sequence.position(), 0);
    assert!(conversation.begin_turn("Who?", sequence).is_ok());
}

/// A clock that advances by an hour each time it is read.
#[derive(Default)]
struct SlowClock(Cell<u64>);

impl Clock for SlowClock {
    fn now(&self) -> Duration {
        self.0.set(self.0.get() + 3600);
        Duration::from_secs(self.0.get())
    }
}

/// A key pressed in the middle of a slow prompt acts between two layers, and the pass
/// leaves nothing in the sequence.
#[test]
fn a_prompt_is_stopped_between_two_layers() {
    let config = Config { context: 400, layers: 5, ..SmallModel::tied_embeddings().config };
    let model = SmallModel { config, seed: 1 }.load(Version::V1);
    let tokenizer = Arc::new(vocabulary());
    let prompt = tokenizer.encode(&"Once upon a time ".repeat(10), true, false);
    let text = |stop_at: Option<usize>| {
        let clock = SlowClock::default();
        let mut session = Session::new(&model, &OneCore).unwrap();
        session.engine.pace_by(&clock);
        let Session { engine, sequence, .. } = &mut session;
        let mut text =
            Generation::text(tokenizer.clone(), sampler(0.0), &prompt, 200, sequence).unwrap();
        let (mut asked, mut written, mut stops) = (0, String::new(), 0);
        loop {
            let before = sequence.position();
            let mut interrupt = || {
                asked += 1;
                match Some(asked) == stop_at {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            };
            match text.step(engine, sequence, &clock, &mut interrupt) {
                // On so slow a machine the engine takes few rows at a time.
                Ok(Step::Reading { .. }) => assert!(sequence.position() <= before + 4),
                Ok(Step::Text(piece)) => written += piece,
                Ok(Step::Done(end, rest)) => {
                    assert_eq!(end, End::Length);
                    return (written + rest, stops, asked);
                }
                Err(GenerateError::Run(RunError::Stopped)) => {
                    stops += 1;
                    assert_eq!(sequence.position(), before, "a stopped pass leaves nothing");
                    assert_eq!(asked % 5, stop_at.unwrap() % 5, "no layer after it was asked");
                }
                Err(error) => panic!("{error}"),
            }
        }
    };
    let (expected, stops, asked) = text(None);
    assert_eq!(stops, 0);
    // The engine asks after each of the five layers of every pass.
    assert_eq!(asked % 5, 0);
    for stop_at in [1, 2, 4, 5, 33, asked] {
        let (written, stops, _) = text(Some(stop_at));
        assert_eq!((written.as_str(), stops), (expected.as_str(), 1), "{stop_at}");
    }
}
