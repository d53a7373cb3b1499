//! Who may take part in a contest: a program of somebody else first shows that its numbers can be believed.

use std::path::Path;

use super::{Case, PATIENCE, Subject, Verdict, run};
use crate::{agent::Program, backend::Unavailable, contestant::Contestant};

/// The cases without which no number of a program means anything. The others are `ioduel conform`'s.
const NEEDED: [&str; 9] = [
    "an agent answers every request with one line of JSON",
    "an agent exits at the end of its input",
    "a server answers the messages of a session",
    "a server answers random messages, each once it is whole",
    "a server's counts are what happened",
    "a client sends the messages of a session, one after the other",
    "a client's counts are what happened",
    "a timed load ends in time, and its numbers fit together",
    "one wrong byte fails the load, and is told exactly",
];

/// Gets a contestant ready, and puts it to the test where it is not this program's own; `program` is this one, and
/// `progress` is told of what is built.
///
/// # Errors
/// Why it can't take part here, in one line: the case, and what was expected and what came.
pub fn admit(contestant: &Contestant, program: &Path, progress: &dyn Fn(&str)) -> Result<(), Unavailable> {
    contestant.prepare(progress)?;
    if contestant.program() == Program::Own {
        return Ok(());
    }
    let subject = Subject::of(contestant, program, PATIENCE);
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
