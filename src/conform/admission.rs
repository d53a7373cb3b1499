//! Who may take part in a contest: a program of somebody else first shows that its numbers can be believed.

use std::path::Path;

use super::{Case, PATIENCE, Subject, Verdict, run};
use crate::{agent::agent_words, backend::Unavailable, contestant::Contestant};

/// The cases without which no number of a program means anything. The others are `ioduel conform`'s.
const NEEDED: [&str; 6] = [
    "an agent answers every request with one line",
    "a server answers the messages of a session",
    "a server's counts are what happened",
    "a client sends the messages of a session, one after the other",
    "a client's counts are what happened",
    "one wrong byte fails the load, and is told exactly",
];

/// Gets a contestant ready, and puts it to the test where it is not this program's own; `program` is this one.
///
/// # Errors
/// Why it can't take part here, in one line: the case, and what was expected and what came.
pub fn admit(contestant: &Contestant, program: &Path) -> Result<(), Unavailable> {
    contestant.prepare()?;
    let Some(theirs) = contestant.command() else { return Ok(()) };
    let subject = Subject {
        command: agent_words(program, None, theirs),
        backend: contestant.name().to_owned(),
        reference: program.to_owned(),
        patience: PATIENCE,
    };
    let needed = |case: &Case| NEEDED.contains(&case.name);
    let outcomes = run(&subject, needed).map_err(|error| Unavailable(format!("{error:#}")))?;
    for outcome in outcomes {
        if let Verdict::Failed(error) = outcome.verdict {
            let told = format!("{}: {error:#}", outcome.case.name).replace('\n', " ");
            return Err(Unavailable(format!("it does not conform: {told}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::CASES, *};

    #[test]
    fn every_case_that_is_needed_is_there() {
        for name in NEEDED {
            assert!(CASES.iter().any(|case| case.name == name), "{name}");
        }
    }
}
